/** What module `srs` can be told. */
import { statSync } from 'node:fs';
import type { MapListen } from '../../../srs/index.ts';
import { kinds, type Signing, textOrNone, z } from '../../kit.ts';

/** Shorter secrets can be guessed from one address that was signed with them. */
const LEAST_SECRET = 8;
const DAY = 86_400_000;
/** SRS counts days modulo 1024. */
const MOST_DAYS = 1022;

const days = kinds
  .duration('21d')
  .refine((milliseconds) => milliseconds >= DAY && milliseconds <= MOST_DAYS * DAY, {
    error: `must be from 1d to ${MOST_DAYS}d`,
  })
  .refine((milliseconds) => milliseconds % DAY === 0, { error: 'must be whole days' });

const listen = textOrNone(
  'an address such as "unix:/run/milter/socketmap.sock" or "inet:8896@127.0.0.1"',
  (text): MapListen | undefined => {
    const [, path] = /^unix:(\/[^\0]+)$/.exec(text) ?? [];
    if (path !== undefined) return { path };
    // As the filter's own socket is written, and as Postfix writes a socket map.
    const {
      port = '',
      host = '',
      otherPort = port,
      otherHost = host,
    } = /^inet6?:(?:(?<port>\d{1,5})@(?<host>\S+)|(?<otherHost>\S+):(?<otherPort>\d{1,5}))$/.exec(text)
      ?.groups ?? {};
    const number = Number(otherPort);
    const isSound =
      number >= 1 && number <= 65_535 && /^(?:\[[\da-f:.]+\]|[\da-f:.]+|[\w.-]+)$/i.test(otherHost);
    return isSound ? { host: otherHost.replace(/^\[|\]$/g, ''), port: number } : undefined;
  },
  '',
);

/** The options, and what of them does not go together. */
export const options = z
  .strictObject({
    domain: kinds.domain('').describe('Of rewritten addresses; its mail must come here'),
    secrets: kinds
      .secrets('', LEAST_SECRET)
      .describe('The first signs, all verify; "file:PATH", one a line, is read anew when it changes'),
    max_age: days.describe('For how long bounces are taken'),
    hash_length: z
      .int()
      .min(4)
      .max(27)
      .default(8)
      .describe('Characters; 4 can be guessed. What others signed with 4 is accepted if this says 4'),
    separator: z.enum(['=', '+', '-']).default('=').describe('Behind SRS0 and SRS1; all are understood'),
    forward: z
      .enum(['never', 'milter', 'socketmap'])
      .default('never')
      .describe('"milter": senders are rewritten at the end of the message; "socketmap": the MTA asks'),
    forwarded: kinds
      .addresses()
      .describe('Recipients whose mail leaves again, for "milter": as they are before aliases'),
    socketmap: listen.describe(
      'Where the MTA asks for whom bounces are, and with "socketmap" also for senders',
    ),
    not_bounces: kinds
      .action('continue')
      .describe('Mail to a rewritten address that is no bounce: its sender is not <>'),
    exclude: kinds.addresses().describe('Senders never rewritten'),
  })
  .superRefine(({ domain, secrets, forward, socketmap }, context) => {
    const lacks = (path: string, message: string): void => {
      context.addIssue({ code: 'custom', path: [path], message });
    };
    if (forward !== 'never' && domain === undefined)
      lacks('domain', `is missing; forward = "${forward}" rewrites senders to it`);
    if (secrets.all.length === 0 && domain !== undefined)
      lacks('secrets', 'is missing; make a file with: openssl rand -base64 24 > srs-secrets');
    if (forward === 'socketmap' && socketmap === undefined)
      lacks('socketmap', 'is missing; write "unix:/run/milter/socketmap.sock" or "inet:8896@127.0.0.1"');
  });

export type SrsModuleOptions = z.output<typeof options>;

/** By the secrets that are in force at the time. */
export function signingOf({ domain, secrets, max_age, hash_length, separator }: SrsModuleOptions): Signing {
  return {
    domain,
    get secrets() {
      return secrets.all;
    },
    maxAge: max_age / DAY,
    hashLength: hash_length,
    separator,
  };
}

/** For `milter check`. */
export function unwise({ domain, secrets, hash_length, forward, forwarded }: SrsModuleOptions): string[] {
  const weak = secrets.all.filter(({ length }) => length < 2 * LEAST_SECRET).length;
  return [
    domain === undefined && secrets.all.length === 0 && 'without domain and secrets it does nothing',
    hash_length < 8 &&
      `hash_length = ${hash_length} is unsafe: a hash of ${hash_length} characters can be guessed, and then this server forwards spam as bounces`,
    isOpen(secrets.path) && `others may read ${secrets.path}: chmod 600`,
    weak > 0 &&
      `${weak} of the secrets have less than ${2 * LEAST_SECRET} characters; make one with: openssl rand -base64 24`,
    forward === 'milter' && forwarded.empty && 'forward = "milter" rewrites nothing while forwarded is empty',
    forward !== 'milter' && !forwarded.empty && 'forwarded is of use with forward = "milter" only',
  ].filter((sentence) => sentence !== false);
}

function isOpen(path: string | undefined): boolean {
  const { mode = 0 } = path === undefined ? {} : (statSync(path, { throwIfNoEntry: false }) ?? {});
  return (mode & 0o007) !== 0;
}
