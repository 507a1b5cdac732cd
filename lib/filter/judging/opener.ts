/**
 * The first member of the filter: opens the judgement of each message, settles who the client is before any module is
 * asked, and sets the clock of each stage.
 */
import { type Deadlines, Milter, type MilterClass } from '../../index.ts';
import {
  type ClientKind,
  clientFact,
  directionFact,
  type JudgedClient,
  type SeenClient,
  whoRole,
} from '../facts.ts';
import { Judgement, judgementFact } from '../findings/judgement.ts';
import { namesOf, seenClient } from '../mail/client.ts';
import type { Running } from './running.ts';

/**
 * Milliseconds that modules have at MAIL and RCPT, and at the end of the message: the library's own deadlines, 8 s and
 * 120 s, less what the decision and the changes need.
 */
const ENVELOPE_TIME = 7_000;
const MESSAGE_TIME = 90_000;

/** For `serve`: when a stage must be answered, whatever its members do. */
export const stageDeadlines: Partial<Deadlines> = {
  envfrom: ENVELOPE_TIME + 1_000,
  envrcpt: ENVELOPE_TIME + 1_000,
  eom: MESSAGE_TIME + 30_000,
};

/** Makes the class for a configuration in force. */
export function makeOpener(running: Running): MilterClass {
  return class Opener extends Milter {
    static override readonly macros = {
      connect: ['{client_ptr}', '{client_resolve}', '{client_addr}', '{daemon_name}'],
      helo: ['{cert_subject}', '{verify}'],
      envfrom: ['{auth_authen}', '{auth_author}'],
    } as const;

    override envfrom(): Promise<void> | undefined {
      const judgement = new Judgement(running.now());
      judgementFact.set(this, judgement);
      judgement.stageEnd = performance.now() + ENVELOPE_TIME;
      return settle(this, judgement, running);
    }

    override envrcpt(): void {
      const judgement = judgementFact.get(this);
      if (judgement !== undefined) judgement.stageEnd = performance.now() + ENVELOPE_TIME;
    }

    override eom(): Promise<void> | undefined {
      const judgement = judgementFact.get(this);
      if (judgement === undefined) return undefined;
      judgement.phase = 'message';
      judgement.stageEnd = performance.now() + MESSAGE_TIME;
      const client = clientFact.get(this);
      const who = running.roles.first(whoRole);
      this.message.limitBody(running.settings.max_body);
      const outside = this.message.recipients.some(({ address }) => who?.isOurs(address) !== true);
      directionFact.set(this, client.kind === 'external' ? 'incoming' : outside ? 'outgoing' : 'local');
      if (!client.relayed || who === undefined) return undefined;
      return who.behindRelay(this).then((judged) => {
        clientFact.set(this, { ...client, judged });
        return exclude(this, judgement, running);
      });
    }
  };
}

/** Sets who the client is. Waits only where a list holds names that must be looked up. */
function settle(milter: Milter, judgement: Judgement, running: Running): Promise<void> | undefined {
  const seen = seenClient(milter);
  const who = running.roles.first(whoRole);
  const authenticated = (milter.session.macro('auth_authen') ?? '') !== '';
  const settled = (internal: boolean, relayed: boolean): Promise<void> | undefined => {
    const kind: ClientKind = authenticated ? 'authenticated' : internal ? 'internal' : 'external';
    // A client that logged in is judged as itself, relay or not.
    const behind = relayed && !authenticated;
    clientFact.set(milter, {
      kind: behind ? 'external' : kind,
      relayed: behind,
      judged: behind ? undefined : asJudged(seen),
    });
    return exclude(milter, judgement, running);
  };
  const internal = who?.isInternal(milter, seen) ?? false;
  const relayed = who?.isRelay(milter, seen) ?? false;
  if (typeof internal === 'boolean' && typeof relayed === 'boolean') return settled(internal, relayed);
  return Promise.all([internal, relayed]).then(([isInternal, isRelay]) => settled(isInternal, isRelay));
}

/** Leaves out the modules whose `match` does not fit the sender or the client. */
function exclude(
  milter: Milter,
  judgement: Judgement,
  { modules, resolver }: Running,
): Promise<void> | undefined {
  const { sender } = milter.message;
  const { judged, relayed } = clientFact.get(milter);
  judgement.excluded.clear();
  const pending: Promise<void>[] = [];
  for (const { name, match } of modules) {
    const { from, not_from, client } = match;
    const fits =
      (from === undefined || from.has(sender)) && (not_from === undefined || !not_from.has(sender));
    if (!fits) judgement.excluded.add(name);
    // Who is behind a relay is known at the end: until then nobody is who was named.
    else if (client !== undefined && judged === undefined) judgement.excluded.add(name);
    else if (client !== undefined && judged !== undefined) {
      const has = client.has({
        address: judged.address,
        certSubject: relayed ? undefined : seenClient(milter).certSubject,
        names: async () => (await namesOf(milter, judged, resolver)).names,
      });
      const note = (matches: boolean): void => {
        if (!matches) judgement.excluded.add(name);
      };
      if (typeof has === 'boolean') note(has);
      else pending.push(has.then(note));
    }
  }
  return pending.length === 0 ? undefined : Promise.all(pending).then(() => undefined);
}

function asJudged({ address, hostname, helo }: SeenClient): JudgedClient {
  return { address, hostname, helo };
}
