/** What became of a message and why, in plain words. */
import { styleText } from 'node:util';
import type { HistoryFinding, HistoryRecord, Phrases } from '../filter/index.ts';
import { printable } from './printable.ts';

type Style = Parameters<typeof styleText>[0];

const VERDICTS: Readonly<Record<string, readonly [Style, string]>> = {
  accept: ['green', 'accepted'],
  reject: ['red', 'refused'],
  tempfail: ['yellow', 'told to try later'],
  discard: ['yellow', 'discarded'],
  quarantine: ['yellow', 'kept in the quarantine'],
  hold: ['yellow', "held in the MTA's queue"],
};

/** One screen: no message has more lines than this of a kind. */
const MAX_LINES = 30;

/** All that is known of a message, for a person; in colour where `out` is a terminal. */
export function explainFate(record: HistoryRecord, phrases: Phrases, out: NodeJS.WritableStream): string {
  const { ref, queueId, at, client, helo, sender, direction, subject, points, changedBy } = record;
  const queued = queueId === undefined ? '' : `, queue id ${printable(queueId)}`;
  const host = client.address === undefined ? client.hostname : `${client.hostname} [${client.address}]`;
  return [
    `Message ${ref}${queued}, ${shownTime(at)}`,
    '',
    summary(record, phrases, out),
    '',
    field('from', sender),
    field('client', `${host}, ${client.kind}, greeted as ${helo === '' ? 'nobody' : helo}`),
    ...(direction === undefined ? [] : [field('direction', direction)]),
    ...(subject === undefined ? [] : [field('subject', subject)]),
    ...cut(
      record.recipients.map(({ address, verdict, reply, finding }) => {
        const because = finding === undefined ? '' : ` because of ${finding}`;
        const words = reply === undefined ? '' : `: ${reply}`;
        return `${field('recipient', address)} ${paintVerdict(verdict, out)}${because}${printable(words)}`;
      }),
    ),
    ...formatFindings(record.findings, phrases),
    ...(points === 0 ? [] : [field('points', points.toFixed(1))]),
    ...(changedBy.length === 0 ? [] : [field('changed by', changedBy.join(', '))]),
  ].join('\n');
}

/** One line a message, for a list of several. */
export function formatFateLine(record: HistoryRecord, out: NodeJS.WritableStream): string {
  const { ref, at, sender, recipients, verdict } = record;
  const [first, ...others] = recipients.map(({ address }) => printable(address));
  const to = others.length === 0 ? (first ?? '') : `${first} and ${others.length} more`;
  const found = decidingFinding(record) ?? record.findings.map(shortFinding).slice(0, 3).join(' ');
  return `${shownTime(at)}  ${ref}  ${paintVerdict(verdict, out)}  ${printable(sender)} → ${to}  ${printable(found)}`;
}

/** A line for each finding: what it is, what it was about, and what was done. */
export function formatFindings(findings: readonly HistoryFinding[], phrases: Phrases): readonly string[] {
  return cut(
    findings.map(({ name, action, done, by, observed, subject, recipient, note }) => {
      const phrase = phrases.get(name) ?? '';
      const about = [subject, recipient === subject ? '' : (recipient ?? ''), note ?? ''].filter(
        (text) => text !== '',
      );
      const details = about.length === 0 ? '' : ` (${about.join('; ')})`;
      return field('finding', `${name}: ${phrase}${details} → ${shownAction(action, done, by, observed)}`);
    }),
  );
}

function shownAction(
  action: string,
  done: string | undefined,
  by: string | undefined,
  observed: boolean,
): string {
  if (observed) return `observed only; otherwise ${action}`;
  if (by !== undefined) return `${done ?? action}, as the access entry "${by}" says`;
  return done === undefined ? action : `${done} instead of ${action}`;
}

/** Who sent what to whom, and what became of it, in a sentence. */
function summary(record: HistoryRecord, phrases: Phrases, out: NodeJS.WritableStream): string {
  const { sender, recipients, verdict, findings } = record;
  const who = sender === '<>' ? 'A bounce' : `Mail from ${printable(sender)}`;
  const [first, ...others] = recipients.map(({ address }) => printable(address));
  const to =
    first === undefined
      ? ''
      : ` to ${[first, ...(others.length > 0 ? [`${others.length} more`] : [])].join(' and ')}`;
  const fates = new Set(recipients.map((recipient) => recipient.verdict));
  const fate = fates.size > 1 ? 'had several fates' : `was ${paintVerdict(verdict, out)}`;
  const name = decidingFinding(record);
  const phrase = name === undefined ? undefined : phrases.get(name);
  const why =
    name === undefined ? '' : ` because of ${name}${phrase === undefined ? '' : ` (${printable(phrase)})`}`;
  const observed = findings.filter((finding) => finding.observed).length;
  const would = observed > 0 ? ` ${observed} finding${observed > 1 ? 's were' : ' was'} only observed.` : '';
  return `${who}${to} ${fate}${fates.size > 1 ? '' : why}.${would}`;
}

function decidingFinding({ recipients }: HistoryRecord): string | undefined {
  return recipients.find(({ finding }) => finding !== undefined)?.finding;
}

function shortFinding({ name, observed }: HistoryFinding): string {
  return observed ? `${name}(observed)` : name;
}

function paintVerdict(verdict: string, out: NodeJS.WritableStream): string {
  const [style, word] = VERDICTS[verdict] ?? ['reset', verdict];
  return styleText(style, word, { stream: out });
}

/** In local time, to the second. */
function shownTime(at: number): string {
  const local = new Date(at - new Date(at).getTimezoneOffset() * 60_000);
  return local.toISOString().slice(0, 19).replace('T', ' ');
}

function cut(lines: readonly string[]): readonly string[] {
  if (lines.length <= MAX_LINES) return lines;
  return [...lines.slice(0, MAX_LINES), field('', `… and ${lines.length - MAX_LINES} more`)];
}

function field(name: string, value: string): string {
  return `${name.padEnd(12)}${printable(value)}`;
}
