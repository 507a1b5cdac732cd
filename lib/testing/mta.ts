/** An MTA's side of the milter protocol over a socket, against any milter. */
import { connect } from 'node:net';
import { wrongArgument } from '../errors.ts';
import { checkOptions, integer, type Kinds, milliseconds } from '../options.ts';
import { parseDialSpec } from '../protocol/dial-spec.ts';
import type { Action, ClientAddress, Macros, Negotiated, StageReply } from '../protocol/exchange.ts';
import { CHUNK_SIZE, encodeFrame, STAGES } from '../protocol/frames.ts';
import type { VerdictStage as Stage } from '../protocol/stages.ts';
import { SMFIP } from '../protocol/stages.ts';
import {
  actionsOfVersion,
  decodeEomRequest,
  decodeNegotiation,
  decodeVerdict,
  describeFrame,
  encodeConnect,
  encodeHeader,
  encodeMacros,
  encodeNegotiation,
  encodeString,
  protocolError,
  stepsOfVersion,
} from '../protocol/wire.ts';
import { encodeText } from '../text.ts';
import { Channel } from './channel.ts';
import type { EomReply, MessageResult, MtaConnection, SendOptions } from './connection.ts';
import { playMessage } from './player.ts';

/** What to offer, and how long to wait. */
export interface ConnectOptions {
  /** The protocol version to offer, 2 to 6. @default 6 */
  readonly version?: number;
  /** The SMFIF_* bits to offer: changes that the filter may ask for. @default all of that version */
  readonly actions?: number;
  /** The SMFIP_* bits to offer: what the filter may switch off or change. @default all of that version */
  readonly steps?: number;
  /** How long the filter may take for each answer, in milliseconds. @default 30 000 */
  readonly timeout?: number;
}

/** For the checker of options. */
export const CONNECT_KINDS: Kinds<ConnectOptions> = {
  version: integer(2, 6),
  actions: integer(0, 0xffff_ffff),
  steps: integer(0, 0xffff_ffff),
  timeout: milliseconds,
};

/** An {@link MtaConnection} over a socket. */
export interface WireConnection extends MtaConnection {
  /** Writes bytes as they are, for frames that no MTA would send. Expects no answer. */
  raw(bytes: Uint8Array): Promise<void>;
}

/**
 * Dials a milter and negotiates with it.
 * @param spec libmilter's way to write an address: `unix:/path`, `inet:port@host`, `inet6:port@host`
 * @throws MilterError ERR_MILTER_SOCKET when nobody answers there; ERR_MILTER_CLOSED when the filter hangs up,
 *   as libmilter does on needing what is not offered; ERR_MILTER_PROTOCOL when it takes more than is offered
 * @throws TypeError for an unknown option or an impossible value
 */
export async function connectMta(spec: string, options: ConnectOptions = {}): Promise<WireConnection> {
  checkOptions('connectMta option', options, CONNECT_KINDS, wrongArgument);
  const { version = 6, timeout = 30_000 } = options;
  const { actions = actionsOfVersion(version), steps = stepsOfVersion(version) } = options;
  const channel = new Channel(spec, connect(parseDialSpec(spec)).setNoDelay(), timeout);
  const negotiated = await channel.inTurn('negotiate', async () => {
    await channel.opened();
    await channel.send(encodeNegotiation({ version, actions, steps }));
    const answer = decodeNegotiation(await channel.receive());
    if (answer.version > version || answer.actions & ~actions || answer.steps & ~steps) {
      throw protocolError(`more than was offered while negotiating: ${inWords(answer)}`);
    }
    return answer;
  });
  return new ChannelConnection(channel, negotiated);
}

function inWords({ version, actions, steps }: Negotiated): string {
  return `version ${version}, actions 0x${actions.toString(16)}, steps 0x${steps.toString(16)}`;
}

/** The stages over a channel on which all is agreed. */
export class ChannelConnection implements WireConnection {
  readonly negotiated: Negotiated;
  readonly #channel: Channel;
  #greeting: MtaConnection['greeting'] = {};
  #bodySkipped: boolean = false;

  constructor(channel: Channel, negotiated: Negotiated) {
    this.#channel = channel;
    this.negotiated = negotiated;
  }

  get greeting(): MtaConnection['greeting'] {
    return this.#greeting;
  }

  async connect(hostname: string, client?: ClientAddress, macros?: Macros): Promise<StageReply> {
    const connect = await this.#play('connect', macros, () => encodeConnect(hostname, client));
    this.#greeting = { ...this.#greeting, connect };
    return connect;
  }

  async helo(name: string, macros?: Macros): Promise<StageReply> {
    const helo = await this.#play('helo', macros, () => textFrame('H', name));
    this.#greeting = { ...this.#greeting, helo };
    return helo;
  }

  envfrom(sender: string, parameters: readonly string[] = [], macros?: Macros): Promise<StageReply> {
    return this.#play('envfrom', macros, () => {
      this.#bodySkipped = false;
      return textFrame('M', sender, ...parameters);
    });
  }

  envrcpt(recipient: string, parameters: readonly string[] = [], macros?: Macros): Promise<StageReply> {
    return this.#play('envrcpt', macros, () => textFrame('R', recipient, ...parameters));
  }

  data(macros?: Macros): Promise<StageReply> {
    return this.#play('data', macros, () => encodeFrame('T'));
  }

  unknown(command: string, macros?: Macros): Promise<StageReply> {
    return this.#play('unknown', macros, () => textFrame('U', command));
  }

  header(name: string, value: string | Uint8Array): Promise<StageReply> {
    const leadingSpace = (this.negotiated.steps & SMFIP.HDR_LEADSPC) !== 0;
    return this.#play('header', undefined, () => {
      const raw = typeof value === 'string' ? encodeText(` ${value}`) : Buffer.from(value);
      return encodeHeader(name, raw, leadingSpace);
    });
  }

  eoh(macros?: Macros): Promise<StageReply> {
    return this.#play('eoh', macros, () => encodeFrame('N'));
  }

  body(bytes: string | Uint8Array): Promise<StageReply> {
    return this.#channel.inTurn('body', async () => {
      const whole = typeof bytes === 'string' ? encodeText(bytes) : Buffer.from(bytes);
      if (this.#bodySkipped) return { verdict: 'skip' };
      let reply: StageReply = { verdict: this.#isOff('body') ? 'none' : 'continue' };
      for (let at = 0; at < whole.length && reply.verdict === 'continue'; at += CHUNK_SIZE) {
        reply = await this.#exchange('body', encodeFrame('B', whole.subarray(at, at + CHUNK_SIZE)));
      }
      this.#bodySkipped = reply.verdict === 'skip';
      return reply;
    });
  }

  eom(macros: Macros = {}): Promise<EomReply> {
    return this.#channel.inTurn('eom', async () => {
      this.#bodySkipped = false;
      await this.#send(Buffer.concat([encodeMacros('eom', macros), encodeFrame('E')]));
      return await this.#receiveEom();
    });
  }

  abort(): Promise<void> {
    return this.#channel.inTurn('abort', async () => {
      this.#bodySkipped = false;
      await this.#send(encodeFrame('A'));
    });
  }

  quit(): Promise<void> {
    return this.#channel.inTurn('quit', () => this.#channel.finish(encodeFrame('Q')));
  }

  raw(bytes: Uint8Array): Promise<void> {
    return this.#channel.inTurn('raw', () => this.#channel.send(bytes));
  }

  close(): Promise<void> {
    return this.#channel.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  sendMessage(eml: string | Uint8Array, options: SendOptions): Promise<MessageResult> {
    return playMessage(this, eml, options);
  }

  #isOff(stage: Stage): boolean {
    return this.negotiated.version < STAGES[stage].since || (this.negotiated.steps & STAGES[stage].off) !== 0;
  }

  #play(stage: Stage, macros: Macros = {}, encode: () => Buffer): Promise<StageReply> {
    return this.#channel.inTurn(stage, async () => {
      if (this.#isOff(stage)) return { verdict: 'none' };
      return await this.#exchange(stage, Buffer.concat([encodeMacros(stage, macros), encode()]));
    });
  }

  async #exchange(stage: Stage, bytes: Buffer): Promise<StageReply> {
    await this.#send(bytes);
    if (this.negotiated.steps & STAGES[stage].noReply) return { verdict: 'continue' };
    for (;;) {
      const frame = await this.#channel.receive();
      const verdict = decodeVerdict(frame);
      if (verdict !== undefined) return verdict;
      if (frame.command !== 'p') throw protocolError(`${describeFrame(frame)} where a verdict was due`);
    }
  }

  async #send(bytes: Buffer): Promise<void> {
    if (this.#channel.pending) throw protocolError('an answer where none was due');
    await this.#channel.send(bytes);
  }

  async #receiveEom(): Promise<EomReply> {
    const leadingSpace = (this.negotiated.steps & SMFIP.HDR_LEADSPC) !== 0;
    const actions: Action[] = [];
    let progress = 0;
    let body: { readonly place: number; readonly chunks: Buffer[]; contiguous: boolean } | undefined;
    let previous = '';
    for (;;) {
      const frame = await this.#channel.receive();
      const verdict = decodeVerdict(frame);
      if (verdict !== undefined) {
        if (body !== undefined) {
          const replaceBody = { body: Buffer.concat(body.chunks), contiguous: body.contiguous };
          actions.splice(body.place, 0, { type: 'replaceBody', ...replaceBody });
        }
        return { ...verdict, actions, progress };
      }
      const request = decodeEomRequest(frame, leadingSpace);
      if (request?.type === 'bodyChunk') {
        body ??= { place: actions.length, chunks: [], contiguous: true };
        if (body.chunks.length > 0 && previous !== frame.command) body.contiguous = false;
        body.chunks.push(request.bytes);
      } else if (request !== undefined) {
        actions.push(request);
      } else if (frame.command === 'p') {
        progress++;
      } else {
        throw protocolError(`${describeFrame(frame)} where changes or a verdict were due`);
      }
      previous = frame.command;
    }
  }
}

function textFrame(command: string, ...texts: readonly string[]): Buffer {
  return encodeFrame(command, ...texts.map((text) => encodeString(text, `the text ${JSON.stringify(text)}`)));
}
