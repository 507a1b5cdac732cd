/** External judges of spam: spamd, rspamd. What they think becomes points. */
import { Milter } from '../../../index.ts';
import { Rspamd, type ScannerAddress, ScannerError, Spamd } from '../../../scanners/index.ts';
import {
  type Action,
  defineModule,
  directionFact,
  kinds,
  learnersRole,
  messageSize,
  ownHeaderRole,
  z,
} from '../../kit.ts';
import { JUDGE_TIME, type Opinion, rspamdJudge, spamdJudge } from './judges.ts';
import { type Judged, reportHeader, reportNote, rounded } from './report.ts';

/** Milliseconds that `milter check` gives a judge. */
const CHECK_TIME = 5_000;

const options = z.strictObject({
  spamd: kinds.endpoint('').describe('Where spamd listens: "tcp:127.0.0.1:783"; "": it is not asked'),
  rspamd: kinds.url('').describe('Where rspamd judges: "http://127.0.0.1:11333"; "": it is not asked'),
  rspamd_learn: kinds
    .url('')
    .describe('Where rspamd\'s controller learns; "": at the same machine, one port higher'),
  rspamd_password: kinds.secret('').describe("The controller's password, if it wants one"),
  soft_reject: kinds
    .action('continue')
    .describe('What follows when rspamd wants the client to come again later: its own greylisting'),
  max_size: kinds.size('512KiB').describe('Nobody is asked about larger messages'),
  header: kinds
    .ownHeader('X-Spam-Report')
    .describe('Tells what the judges found, on incoming mail; "": none'),
});

export default defineModule({
  name: 'spam',
  about: 'What spamd and rspamd think of it',
  onError: 'continue',
  options,
  findings: {
    spamd: { about: 'sender', text: 'what spamd thinks', reply: 'Your message looks like spam' },
    rspamd: { about: 'sender', text: 'what rspamd thinks', reply: 'Your message looks like spam' },
    'soft-reject': {
      about: 'sender',
      text: 'rspamd wants the client to come again later',
      reply: '%{message}',
      values: ['message'],
    },
    'too-big': { about: 'sender', text: 'larger than max_size: nobody was asked' },
  },
  check: async ({ spamd, rspamd, rspamd_learn }) => {
    if (spamd === undefined && rspamd === undefined)
      return ['neither spamd nor rspamd is given: nobody is asked'];
    const found = await Promise.all([
      spamd === undefined ? [] : checkSpamd(spamd),
      rspamd === undefined ? [] : checkRspamd(rspamd),
      rspamd === undefined || rspamd_learn !== undefined ? [] : checkController(controllerOf(rspamd)),
    ]);
    return found.flat();
  },
  setup: ({
    options: { spamd, rspamd, rspamd_learn, rspamd_password, soft_reject, max_size, header },
    services,
  }) => {
    const judges = [
      ...(spamd === undefined ? [] : [spamdJudge(spamd, services)]),
      ...(rspamd === undefined
        ? []
        : [
            rspamdJudge(
              { worker: rspamd, controller: rspamd_learn ?? controllerOf(rspamd), password: rspamd_password },
              services,
            ),
          ]),
    ];
    if (judges.length === 0) return undefined;
    if (!services.observed) {
      if (header !== '') services.provide(ownHeaderRole, header);
      for (const { name, learn } of judges) {
        services.provide(learnersRole, {
          name: `${services.name} (${name})`,
          learn: async (message, as) => {
            if (message.length > max_size) throw new Error(`it is larger than ${max_size} bytes (max_size)`);
            await learn(message, as);
          },
        });
      }
    }

    return class Spam extends Milter {
      override async eom(): Promise<void> {
        const { message } = this;
        const size = messageSize(message) ?? 0;
        if (!message.bodyComplete || size > max_size) {
          services.found(this, 'too-big', { word: 'continue' });
          return;
        }
        const pieces = (await message.mime()).pieces();
        const ask = { timeout: services.timeFor(this, JUDGE_TIME), signal: message.signal };
        const answers = await Promise.allSettled(
          judges.map(async (judge): Promise<Judged> => [judge.name, await judge.ask(this, pieces, ask)]),
        );
        const judged = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
        for (const [judge, opinion] of judged) this.#report(judge, opinion);
        if (header !== '' && judged.length > 0 && directionFact.get(this) === 'incoming') {
          services.change(this, (changed) => changed.addHeader(header, reportHeader(judged)));
        }
        const failure = answers.find(({ status }) => status === 'rejected');
        if (failure?.status === 'rejected') throw failure.reason;
      }

      #report(judge: Judged[0], opinion: Opinion): void {
        const points = rounded(opinion.points);
        const action: Action = points === 0 ? { word: 'continue' } : { word: 'score', points };
        services.found(this, judge, action, { note: reportNote(opinion) });
        const { later } = opinion;
        if (later !== undefined)
          services.found(this, 'soft-reject', soft_reject, { values: { message: later } });
      }
    };
  },
});

/** Where rspamd's controller listens unless told otherwise: 11334, if it judges at 11333. */
function controllerOf(rspamd: URL): URL {
  const controller = new URL(rspamd);
  const port = rspamd.port === '' ? (rspamd.protocol === 'https:' ? 443 : 80) : Number(rspamd.port);
  controller.port = String(port + 1);
  return controller;
}

async function checkSpamd(address: ScannerAddress): Promise<readonly string[]> {
  return await problemOf((signal) => new Spamd(address).ping(signal));
}

async function checkRspamd(url: URL): Promise<readonly string[]> {
  return await problemOf((signal) => new Rspamd(url).ping(signal));
}

async function checkController(url: URL): Promise<readonly string[]> {
  try {
    await new Rspamd(url).ping(AbortSignal.timeout(CHECK_TIME));
    return [];
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return [`rspamd cannot learn: no controller answers at ${url.origin} (rspamd_learn): ${why}`];
  }
}

/** That it cannot be reached is said of every server. */
async function problemOf(ask: (signal: AbortSignal) => Promise<void>): Promise<readonly string[]> {
  try {
    await ask(AbortSignal.timeout(CHECK_TIME));
    return [];
  } catch (error) {
    if (!(error instanceof ScannerError)) throw error;
    return error.fault === 'down' ? [] : [error.message];
  }
}
