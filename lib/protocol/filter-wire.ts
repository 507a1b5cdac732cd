/**
 * The milter wire protocol, seen from the filter: reads what an MTA sends and writes what a filter answers, without any
 * input or output. The other side is in wire.ts.
 */
import { isIPv4, isIPv6, SocketAddress } from 'node:net';
import { decodeText, encodeText } from '../text.ts';
import type { ClientFamily, Reply } from './exchange.ts';
import { CHUNK_SIZE, encodeFrame, textEnd } from './frames.ts';
import { type MacroStage, smfim, type VerdictWord, verdictCode } from './stages.ts';

// From the MTA.

/** What the MTA offers. Undefined where a frame holds no offer. */
export function decodeOffer(
  bytes: Buffer,
  start: number,
  end: number,
): { readonly version: number; readonly actions: number; readonly steps: number } | undefined {
  if (end - start < 12) return undefined;
  return {
    version: bytes.readUInt32BE(start),
    actions: bytes.readUInt32BE(start + 4),
    steps: bytes.readUInt32BE(start + 8),
  };
}

/** The SMTP client in the payload of a connect command. */
export interface WireClient {
  readonly hostname: string;
  readonly family: ClientFamily;
  /** Undefined where the family is unknown. */
  readonly address: string | undefined;
  readonly port: number;
}

/** Room for the path of a unix socket, as libmilter has it. */
const MAX_UNIX_PATH = 107;

/** Undefined where the payload is malformed. */
export function decodeClient(bytes: Buffer, start: number, end: number): WireClient | undefined {
  const nameEnd = textEnd(bytes, start, end);
  const at = nameEnd + 1;
  if (at >= end) return undefined;
  const hostname = decodeText(bytes, start, nameEnd);
  const family = String.fromCharCode(bytes[at] ?? 0);
  if (family === 'U') return { hostname, family: 'unknown', address: undefined, port: 0 };
  if (end - at < 4 || bytes[end - 1] !== 0) return undefined;
  const port = bytes.readUInt16BE(at + 1);
  const text = decodeText(bytes, at + 3, textEnd(bytes, at + 3, end));
  switch (family) {
    case '4':
      return isIPv4(text) ? { hostname, family: 'inet', address: text, port } : undefined;
    case '6': {
      const address = text.replace(/^IPv6:/i, '');
      if (!isIPv6(address) || address.includes('%')) return undefined;
      const plain = new SocketAddress({ address, family: 'ipv6' }).address;
      return { hostname, family: 'inet6', address: plain, port };
    }
    case 'L':
      return Buffer.byteLength(text) > MAX_UNIX_PATH
        ? undefined
        : { hostname, family: 'unix', address: text, port: 0 };
    default:
      return undefined;
  }
}

// From the filter.

/** SMFIC_OPTNEG: what is agreed on, and the macros that are asked for, by stage. */
export function encodeAgreement(
  version: number,
  actions: number,
  steps: number,
  symlists: Readonly<Partial<Record<MacroStage, string>>>,
): Buffer {
  const numbers = Buffer.alloc(12);
  numbers.writeUInt32BE(version, 0);
  numbers.writeUInt32BE(actions, 4);
  numbers.writeUInt32BE(steps, 8);
  const lists = smfim.flatMap((stage, place) => {
    const names = symlists[stage];
    return names === undefined ? [] : [Buffer.of(0, 0, 0, place), encodeText(`${names}\0`)];
  });
  return encodeFrame('O', numbers, ...lists);
}

const verdictCommands: Readonly<Record<VerdictWord, string>> = {
  continue: 'c',
  accept: 'a',
  reject: 'r',
  discard: 'd',
  tempfail: 't',
  skip: 's',
};

/** The frame of each verdict by its number. */
export const verdictFrames: ReadonlyMap<number, Buffer> = new Map(
  Object.entries(verdictCommands).map(([word, command]) => [
    verdictCode[word as VerdictWord],
    encodeFrame(command),
  ]),
);

/** SMFIR_PROGRESS: the MTA may wait longer. */
export const progressFrame: Buffer = encodeFrame('p');

/** SMFIR_REPLYCODE, in the form of smfi_setmlreply. */
export function encodeReply({ code, enhanced, lines }: Reply): Buffer {
  const status = enhanced ?? `${Math.floor(code / 100)}.0.0`;
  const text = lines.map((line, i) => {
    const separator = i < lines.length - 1 ? '-' : ' ';
    // The MTA takes each line for a format, in which `%%` is a percent sign.
    return `${code}${separator}${status} ${line.replaceAll('%', '%%')}`;
  });
  return encodeFrame('y', encodeText(`${text.join('\r\n')}\0`));
}

const NUL = Buffer.of(0);

/** A request whose payload is one or more texts. */
export function encodeTexts(command: string, ...texts: readonly Buffer[]): Buffer {
  return encodeFrame(command, ...texts.flatMap((text) => [text, NUL]));
}

/** A request whose payload is a number and two texts: smfi_insheader, smfi_chgheader. */
export function encodePlaced(command: string, place: number, name: Buffer, value: Buffer): Buffer {
  const number = Buffer.alloc(4);
  number.writeUInt32BE(place);
  return encodeFrame(command, number, name, NUL, value, NUL);
}

/** SMFIR_REPLBODY: an empty body is one empty frame. */
export function encodeBody(body: Buffer): Buffer[] {
  const frames: Buffer[] = [];
  for (let at = 0; at === 0 || at < body.length; at += CHUNK_SIZE)
    frames.push(encodeFrame('b', body.subarray(at, at + CHUNK_SIZE)));
  return frames;
}
