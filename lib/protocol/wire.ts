/**
 * The milter wire protocol, seen from the MTA: flags and payloads, without any input or output. The other side is in
 * filter-wire.ts. The SMFI… names in comments are those of libmilter/mfdef.h.
 */
import { isIPv4, isIPv6 } from 'node:net';
import { MilterError, wrongArgument } from '../errors.ts';
import { type Header, makeHeader } from '../headers.ts';
import { decodeText, encodeText } from '../text.ts';
import type {
  Action,
  ClientAddress,
  ClientFamily,
  Macros,
  Negotiated,
  Reply,
  StageReply,
} from './exchange.ts';
import { encodeFrame, type Frame, STAGES, splitTexts } from './frames.ts';
import { type MacroStage, type VerdictStage as Stage, smfim } from './stages.ts';

/** Every SMFIF_ flag that an MTA of that protocol version can offer. */
export function actionsOfVersion(version: number): number {
  return version >= 6 ? 0x1ff : 0x3f;
}

/** Every SMFIP_ flag that an MTA of that protocol version can offer. */
export function stepsOfVersion(version: number): number {
  if (version >= 6) return 0x1fffff;
  return version >= 4 ? 0x37f : version === 3 ? 0x17f : 0x7f;
}

// From the MTA.

/** Text as it travels: losslessly encoded and ended by NUL. `what` names it in the error. */
export function encodeString(text: string, what: string): Buffer {
  if (text.includes('\0')) throw wrongArgument(`${what} holds a NUL, which would end it early`);
  return encodeText(`${text}\0`);
}

export function encodeNegotiation(offer: { version: number; actions: number; steps: number }): Buffer {
  const payload = Buffer.alloc(12);
  payload.writeUInt32BE(offer.version, 0);
  payload.writeUInt32BE(offer.actions, 4);
  payload.writeUInt32BE(offer.steps, 8);
  return encodeFrame('O', payload);
}

/** The SMFIC_MACRO frame that goes before `stage`, or nothing where there are no macros. */
export function encodeMacros(stage: Stage, macros: Macros): Buffer {
  const pairs = Object.entries(macros).flatMap(([name, value]) => [
    encodeString(name, 'the name of a macro'),
    encodeString(value, `macro ${name}`),
  ]);
  if (pairs.length === 0) return Buffer.alloc(0);
  return encodeFrame('D', Buffer.from(STAGES[stage].command, 'latin1'), ...pairs);
}

const FAMILY_BYTES: Readonly<Record<ClientFamily, string>> = {
  inet: '4',
  inet6: '6',
  unix: 'L',
  unknown: 'U',
};

/** What family an address looks to be of. */
function familyOf(address: string | undefined): ClientFamily {
  if (address === undefined) return 'unknown';
  if (isIPv4(address)) return 'inet';
  if (isIPv6(address)) return 'inet6';
  if (address.startsWith('/')) return 'unix';
  throw wrongArgument(`client address "${address}" is neither an IP address nor a path; say its family`);
}

export function encodeConnect(hostname: string, client: ClientAddress = {}): Buffer {
  const family = client.family ?? familyOf(client.address);
  const name = encodeString(hostname, "the client's host name");
  if (family === 'unknown') return encodeFrame('C', name, Buffer.from('U'));
  if (client.address === undefined) throw wrongArgument(`a client of family ${family} needs an address`);
  const port = client.port ?? 0;
  if (!Number.isInteger(port) || port < 0 || port > 65_535)
    throw wrongArgument(`client port ${port} is none`);
  return encodeFrame(
    'C',
    name,
    Buffer.from(FAMILY_BYTES[family]),
    Buffer.of(port >> 8, port & 0xff),
    encodeString(client.address, "the client's address"),
  );
}

/** `raw` is every byte after the colon; without `leadingSpace` one leading space stays behind. */
export function encodeHeader(name: string, raw: Buffer, leadingSpace: boolean): Buffer {
  if (raw.includes(0)) throw wrongArgument(`header ${name} holds a NUL, which would end it early`);
  const value = !leadingSpace && raw[0] === 0x20 ? raw.subarray(1) : raw;
  return encodeFrame('L', encodeString(name, 'the name of a header'), value, Buffer.of(0));
}

// From the filter.

/** What a filter sends at end of message before its verdict; the chunks of a body are joined elsewhere. */
export type EomRequest =
  | Exclude<Action, { type: 'replaceBody' }>
  | { readonly type: 'bodyChunk'; readonly bytes: Buffer };

export function protocolError(what: string): MilterError {
  return new MilterError('ERR_MILTER_PROTOCOL', `the filter sent ${what}`);
}

/** The texts of a payload that a filter sent, which ends them all. */
function splitStrings(payload: Buffer, start = 0): Buffer[] {
  if (payload.length > start && payload.at(-1) !== 0) throw protocolError('text without its final NUL');
  return splitTexts(payload, start);
}

export function decodeNegotiation({ command, payload }: Frame): Negotiated {
  if (command !== 'O' || payload.length < 12) {
    throw protocolError(`${describeFrame({ command, payload })} where it had to negotiate`);
  }
  const symlists: { [stage in MacroStage]?: readonly string[] } = {};
  for (let from = 12; from < payload.length; ) {
    const end = payload.indexOf(0, from + 4);
    const stage = end < 0 ? undefined : smfim[payload.readUInt32BE(from)];
    if (stage === undefined) throw protocolError('a broken list of macros while negotiating');
    symlists[stage] = payload
      .toString('latin1', from + 4, end)
      .split(/[ ,]+/)
      .filter(Boolean);
    from = end + 1;
  }
  return {
    version: payload.readUInt32BE(0),
    actions: payload.readUInt32BE(4),
    steps: payload.readUInt32BE(8),
    symlists,
  };
}

/** The verdict in a frame, or undefined where the frame is something else. */
export function decodeVerdict({ command, payload }: Frame): StageReply | undefined {
  switch (command) {
    case 'c':
      return { verdict: 'continue' };
    case 'a':
      return { verdict: 'accept' };
    case 'd':
      return { verdict: 'discard' };
    case 's':
      return { verdict: 'skip' };
    case 'r':
      return { verdict: 'reject' };
    case 't':
      return { verdict: 'tempfail' };
    case 'y': {
      const reply = decodeReply(payload);
      return { verdict: reply.code < 500 ? 'tempfail' : 'reject', reply };
    }
    default:
      return undefined;
  }
}

function decodeReply(payload: Buffer): Reply {
  const text = decodeText(payload, 0, payload.at(-1) === 0 ? payload.length - 1 : payload.length);
  let code: number | undefined;
  let enhanced: string | null = null;
  const lines = text.split(/\r?\n/).map((line) => {
    const parts = /^([45]\d\d)(?:[ -](?:([245]\.\d{1,3}\.\d{1,3})(?: |$))?(.*))?$/s.exec(line);
    if (parts === null) throw protocolError(`the SMTP reply ${JSON.stringify(text)}, which is none`);
    code ??= Number(parts[1]);
    enhanced ??= parts[2] ?? null;
    // A reply passes through a format on its way to the client: % takes the next character literally.
    return (parts[3] ?? '').replace(/%(.?)/gs, '$1');
  });
  return { code: code ?? 0, enhanced, lines };
}

/**
 * A change requested at end of message, or undefined where the frame is something else.
 * Without `leadingSpace` the MTA itself puts the space after a header's colon.
 */
export function decodeEomRequest({ command, payload }: Frame, leadingSpace: boolean): EomRequest | undefined {
  const header = (name: Buffer, value: Buffer): Header =>
    makeHeader(decodeText(name), leadingSpace ? value : Buffer.concat([Buffer.from(' '), value]));
  switch (command) {
    case 'h': {
      const [name, value] = splitStrings(payload);
      if (name === undefined || value === undefined) break;
      return { type: 'addHeader', header: header(name, value) };
    }
    case 'i':
    case 'm': {
      if (payload.length < 4) break;
      const place = payload.readUInt32BE(0);
      const [name, value] = splitStrings(payload, 4);
      if (name === undefined || value === undefined) break;
      if (command === 'i') return { type: 'insertHeader', index: place, header: header(name, value) };
      return {
        type: 'changeHeader',
        name: decodeText(name),
        occurrence: place,
        header: value.length === 0 ? null : header(name, value),
      };
    }
    case 'e':
    case '+':
    case '2': {
      const [address, parameters] = splitStrings(payload).map((bytes) => decodeText(bytes));
      if (address === undefined) break;
      return {
        type: command === 'e' ? 'changeFrom' : 'addRcpt',
        address,
        parameters: parameters?.split(' ').filter(Boolean) ?? [],
      };
    }
    case '-': {
      const [address] = splitStrings(payload);
      if (address === undefined) break;
      return { type: 'deleteRcpt', address: decodeText(address) };
    }
    case 'q': {
      const [reason] = splitStrings(payload);
      if (reason === undefined) break;
      return { type: 'quarantine', reason: decodeText(reason) };
    }
    case 'b':
      return { type: 'bodyChunk', bytes: payload };
    default:
      return undefined;
  }
  throw protocolError(`${describeFrame({ command, payload })} without what belongs into it`);
}

/** A frame in words, for errors. */
export function describeFrame({ command, payload }: Frame): string {
  return `a frame ${JSON.stringify(command)} with ${payload.length} bytes`;
}
