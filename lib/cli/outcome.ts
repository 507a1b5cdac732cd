/** How `milter try` shows what became of a message. */
import { styleText } from 'node:util';
import type { HistoryFinding, Phrases } from '../filter/index.ts';
import type { MessageResult, Reply } from '../testing/index.ts';
import type { Changes, HeaderChange } from './changes.ts';
import { formatFindings } from './fate.ts';
import { printable } from './printable.ts';

/** What became of a message. This is what `--json` prints. */
export interface Outcome {
  readonly verdict: 'accept' | 'reject' | 'tempfail' | 'discard';
  /** The stage whose verdict decided. */
  readonly stage: MessageResult['stage'];
  /** The SMTP reply, where the filter chose one. */
  readonly reply: Reply | undefined;
  /** What the modules of a configuration found, and what that comes to. */
  readonly findings?: readonly HistoryFinding[];
  readonly points?: number;
  readonly recipients: MessageResult['recipients'];
  /** Undefined where nothing is delivered. */
  readonly changes: Changes | undefined;
  /** Handlers that failed or overran their deadline; the log says which and why. */
  readonly failures: number;
}

type Style = Parameters<typeof styleText>[0];

const VERDICTS = {
  accept: ['green', 'accepted'],
  reject: ['red', 'rejected'],
  tempfail: ['yellow', 'told to try later'],
  discard: ['yellow', 'discarded'],
} as const satisfies Record<Outcome['verdict'], readonly [Style, string]>;

/** Lines for a person; in colour where `out` is a terminal. */
export function formatOutcome(
  outcome: Outcome,
  out: NodeJS.WritableStream,
  phrases: Phrases = new Map(),
): string {
  const paint = (style: Style, text: string): string => styleText(style, text, { stream: out });
  const [style, word] = VERDICTS[outcome.verdict];
  const { stage, reply, recipients, changes, failures } = outcome;
  const lines = [field('verdict', `${paint(style, word)} at ${stage}`)];
  if (reply !== undefined) lines.push(field('reply', formatReply(reply)));
  if (failures > 0) lines.push(field('failures', paint('red', `${failures}; see the log above`)));
  lines.push(...formatFindings(outcome.findings ?? [], phrases));
  if ((outcome.points ?? 0) !== 0) lines.push(field('points', String(outcome.points)));
  for (const recipient of recipients) lines.push(field('recipient', formatRecipient(recipient, changes)));
  for (const address of changes?.recipients.added ?? []) {
    lines.push(field('recipient', paint('green', `+ ${printable(address)}`)));
  }
  if (changes === undefined) return lines.join('\n');
  const { sender, headers, body, quarantine } = changes;
  if (sender !== undefined) {
    lines.push(field('sender', `${printable(sender.was)} → ${printable(sender.value)}`));
  }
  lines.push(...headers.flatMap((header) => formatHeader(header, paint)));
  if (body !== undefined) lines.push(field('body', `replaced, ${body.was} → ${body.value} bytes`));
  if (quarantine !== undefined) lines.push(field('quarantine', paint('yellow', printable(quarantine))));
  if (isUnchanged(changes)) lines.push('nothing changed');
  return lines.join('\n');
}

function formatReply({ code, enhanced, lines }: Reply): string {
  const numbers = enhanced === null ? String(code) : `${code} ${enhanced}`;
  return lines.map((line) => `${numbers} ${printable(line)}`).join('\n            ');
}

function formatRecipient(
  { address, verdict, reply }: MessageResult['recipients'][number],
  changes: Changes | undefined,
): string {
  const shown = printable(address);
  if (changes?.recipients.deleted.includes(address)) return `- ${shown} deleted`;
  if (verdict !== 'reject' && verdict !== 'tempfail') return `  ${shown}`;
  const words = reply === undefined ? '' : `: ${formatReply(reply)}`;
  return `  ${shown} ${VERDICTS[verdict][1]}${words}`;
}

function formatHeader(header: HeaderChange, paint: (style: Style, text: string) => string): string[] {
  const line = (sign: string, text: string): string =>
    field('header', paint(sign === '+' ? 'green' : 'red', `${sign} ${header.name}: ${printable(text)}`));
  return [
    ...(header.change === 'added' ? [] : [line('-', header.was)]),
    ...(header.change === 'deleted' ? [] : [line('+', header.value)]),
  ];
}

function isUnchanged({ sender, recipients, headers, body, quarantine }: Changes): boolean {
  const lists = [recipients.added, recipients.deleted, headers];
  return lists.every(({ length }) => length === 0) && !sender && !body && quarantine === undefined;
}

function field(name: string, value: string): string {
  return `${name.padEnd(12)}${value}`;
}
