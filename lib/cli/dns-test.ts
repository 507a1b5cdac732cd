/** What `milter dns --test` shows: what a name would get, and by which lines of the list. */
import { readFileSync } from 'node:fs';
import { parseIp, reversed } from '../ip.ts';
import { type ListAnswer, type ListLine, QueryName } from '../nameserver/index.ts';
import { optionFault, show } from '../options.ts';
import type { ConfiguredNameServer } from './name-server.ts';
import { printable, toJson } from './printable.ts';

interface MatchedLine {
  /** 0 for the entries that every list has. */
  readonly line: number;
  readonly text: string;
}

/** The text to print for `subject`. */
export async function testName(
  subject: string,
  server: ConfiguredNameServer,
  asJson: boolean,
): Promise<string> {
  if (subject.includes('@')) return await testSignature(subject, server, asJson);
  const name = readName(subject, server.zoneName);
  const query = `${name.dotted}${name.dotted === '' ? '' : '.'}${server.zoneName}`;
  const { lines, exception, isParent } = server.list.find(name.wire);
  const file = server.patternsFile;
  const texts = file === undefined || (lines.length === 0 && exception === undefined) ? [] : readLines(file);
  const matched = (line: ListLine): MatchedLine => ({
    line: line.number,
    text:
      line.number === 0
        ? 'an entry that every list has (RFC 5782)'
        : (texts[line.number - 1] ?? line.pattern),
  });
  const ttl = Math.min(...lines.map(({ answer }) => answer.ttl ?? server.zone(1).ttl));
  const result = {
    query,
    status: lines.length > 0 ? 'listed' : isParent || name.dotted === '' ? 'nothing' : 'not listed',
    ...(lines.length > 0 && {
      ttl,
      codes: [...new Set(lines.flatMap(({ answer }) => answer.codes.map(address)))],
      texts: [...new Set(lines.flatMap(({ answer }) => textOf(answer, name.wire.subject())))],
    }),
    lines: lines.map(matched),
    exception: exception === undefined ? undefined : matched(exception),
  };
  if (asJson) return toJson({ ...result, file });
  const rows: [string, string][] = [
    ['query', query],
    ['status', STATUS[result.status] ?? result.status],
    ...(result.codes ?? []).map((code): [string, string] => ['A', `${code} (for ${ttl} s)`]),
    ...(result.texts ?? []).map((text): [string, string] => ['TXT', text]),
    ...result.lines.map((one): [string, string] => ['line', place(one, file)]),
    ...(result.exception === undefined
      ? []
      : [['exception', place(result.exception, file)] as [string, string]]),
  ];
  return rows.map(([key, value]) => `${`${key}:`.padEnd(11)}${printable(value)}\n`).join('');
}

const STATUS: Readonly<Record<string, string>> = {
  listed: 'listed',
  nothing: 'exists, but has no records (NOERROR)',
  'not listed': 'not listed (NXDOMAIN)',
};

async function testSignature(
  subject: string,
  server: ConfiguredNameServer,
  asJson: boolean,
): Promise<string> {
  if (server.ses === undefined)
    throw optionFault(`${show(subject)} is an address, and ses = true is not set`);
  const at = subject.lastIndexOf('@');
  const isOurs = await server.ses(subject.slice(0, at), subject.slice(at + 1));
  if (asJson) return toJson({ address: subject, status: isOurs ? 'signed' : 'not signed' });
  return `${printable(subject)} ${isOurs ? 'is signed by us' : 'carries no good signature of ours, or one that is used up'}\n`;
}

/** An address in its reversed form, a name below the zone without it, any other name as it is. */
function readName(subject: string, zone: string): { readonly wire: QueryName; readonly dotted: string } {
  const ip = parseIp(subject);
  const plain = subject.toLowerCase().replace(/\.$/, '');
  const within = plain === zone ? '' : plain.endsWith(`.${zone}`) ? plain.slice(0, -zone.length - 1) : plain;
  const dotted = ip === undefined ? within : reversed(ip);
  const wire = QueryName.of(dotted);
  if (wire === undefined || `${dotted}.${zone}`.length > 253)
    throw optionFault(`--test: ${show(subject)} is no name that can be asked for`);
  return { wire, dotted };
}

function readLines(file: string): readonly string[] {
  try {
    return readFileSync(file, 'utf8')
      .split('\n')
      .map((line) => line.trim());
  } catch {
    return []; // It was there a moment ago; the patterns alone do.
  }
}

function place({ line, text }: MatchedLine, file: string | undefined): string {
  return line === 0 || file === undefined ? text : `${file}:${line}: ${text}`;
}

function address(code: number): string {
  return [24, 16, 8, 0].map((shift) => (code >>> shift) & 255).join('.');
}

function textOf({ text }: ListAnswer, subject: string): string[] {
  return text === undefined ? [] : [text.map(String).join(subject)];
}
