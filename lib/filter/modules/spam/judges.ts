/** The judges that can be asked, and what they are told of a message. */
import type { Milter } from '../../../index.ts';
import {
  isDown,
  Rspamd,
  type RspamdMail,
  type ScannedRule,
  type ScannerAddress,
  Spamd,
} from '../../../scanners/index.ts';
import { type AskOptions, Backend, clientFact, type Learner, type Services, seenClient } from '../../kit.ts';

/** Messages that are judged at once: spamd has five children unless told otherwise, rspamd waits for DNS most of the time. */
const SPAMD_AT_ONCE = 5;
const RSPAMD_AT_ONCE = 20;
const LESSONS_AT_ONCE = 2;
/** Milliseconds, where nobody says. */
export const JUDGE_TIME = 30_000;
const LESSON_TIME = 60_000;
/** Characters of a name from mail that are told. */
const MAX_TOLD = 255;

/** What a judge thinks of a message. */
export interface Opinion {
  readonly points: number;
  /** From so many on it would call it spam, or reject it. */
  readonly limit: number;
  /** What it would do, in its own words. */
  readonly word: string;
  readonly rules: readonly ScannedRule[];
  /** It wants the client to come again later; the text is for the reply. */
  readonly later: string | undefined;
}

/** Somebody who judges, and learns. */
export interface Judge {
  readonly name: 'spamd' | 'rspamd';
  ask(milter: Milter, pieces: readonly Buffer[], options: AskOptions): Promise<Opinion>;
  readonly learn: Learner['learn'];
}

/** Where rspamd judges, and where it learns. */
export interface RspamdPlaces {
  readonly worker: URL;
  readonly controller: URL;
  readonly password: string;
}

/** spamd. */
export function spamdJudge(address: ScannerAddress, services: Services): Judge {
  const spamd = new Spamd(address);
  const backend = makeBackend('spamd', SPAMD_AT_ONCE, services);
  const lessons = makeLessons('spamd', services);
  return {
    name: 'spamd',
    ask: async (milter, pieces, options) => {
      const mail = [asReceived(milter, services), ...pieces];
      const verdict = await backend.ask((signal) => spamd.check(mail, signal), options);
      const { score, threshold, spam, rules } = verdict;
      return { points: score, limit: threshold, word: spam ? 'spam' : 'ham', rules, later: undefined };
    },
    learn: async (message, as) => {
      await lessons.ask((signal) => spamd.learn([message], as, signal));
    },
  };
}

/** rspamd. */
export function rspamdJudge({ worker, controller, password }: RspamdPlaces, services: Services): Judge {
  const rspamd = new Rspamd(worker);
  const backend = makeBackend('rspamd', RSPAMD_AT_ONCE, services);
  const lessons = makeLessons('rspamd', services);
  return {
    name: 'rspamd',
    ask: async (milter, pieces, options) => {
      const mail = describe(milter);
      const verdict = await backend.ask((signal) => rspamd.check(mail, pieces, signal), options);
      const { action, score, required, rules, message } = verdict;
      return {
        // A rule of its own may have it reject what has few points.
        points: action === 'reject' ? Math.max(score, required) : score,
        limit: required,
        word: action,
        rules,
        later: action === 'soft reject' ? (message ?? 'Try again later') : undefined,
      };
    },
    learn: async (message, as) => {
      await lessons.ask((signal) => rspamd.learn([message], { controller, password, as }, signal));
    },
  };
}

function makeBackend(name: string, concurrency: number, { name: module, metrics, now }: Services): Backend {
  return new Backend({
    name,
    concurrency,
    timeout: JUDGE_TIME,
    isDown,
    now,
    counted: { metrics, labels: { module, backend: name } },
  });
}

function makeLessons(name: string, { now }: Services): Backend {
  return new Backend({ name, concurrency: LESSONS_AT_ONCE, timeout: LESSON_TIME, isDown, now });
}

/**
 * What the MTA will write above the message, and spamd goes by: the envelope sender, and the client, which its tests of
 * networks, names and SPF are about.
 */
function asReceived(milter: Milter, { hostname, now }: Services): Buffer {
  const { address, helo, hostname: name } = seenClient(milter);
  const { sender, queueId } = milter.message;
  const isAuthenticated = clientFact.get(milter).kind === 'authenticated';
  const ip = address?.includes(':') === true ? `IPv6:${address}` : address;
  const client = ip === undefined ? '' : ` (${told(name ?? 'unknown')} [${ip}])`;
  const from =
    client === '' && helo === '' ? '' : `from ${told(helo === '' ? 'unknown' : helo)}${client}\r\n\t`;
  const date = new Date(now()).toUTCString().replace('GMT', '+0000');
  const fields = [
    `Return-Path: ${told(sender)}`,
    `Received: ${from}by ${hostname} (milter) with ESMTP${isAuthenticated ? 'A' : ''} id ${told(queueId ?? 'none')};\r\n\t${date}`,
  ];
  return Buffer.from(fields.map((field) => `${field}\r\n`).join(''), 'utf8');
}

/** On one line, without blanks. */
function told(text: string): string {
  return text
    .slice(0, MAX_TOLD)
    .toWellFormed()
    .replace(/[\s\p{Cc}]/gu, '?');
}

/** Behind a trusted relay the client that it names is judged. */
function describe(milter: Milter): RspamdMail {
  const { session, message } = milter;
  const { judged } = clientFact.get(milter);
  return {
    ip: judged?.address,
    hostname: judged?.hostname,
    helo: judged?.helo ?? '',
    sender: message.sender.slice(1, -1),
    recipients: message.recipients.map(({ address }) => address.slice(1, -1)),
    queueId: message.queueId,
    user: session.macro('auth_authen') || undefined,
  };
}
