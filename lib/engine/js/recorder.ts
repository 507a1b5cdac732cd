/**
 * Gathers what the MTA said until the filter has to know it: the stages of the connection and of the message under way.
 * Nothing is copied or decoded; records hold on to the bytes as they came in.
 */
import { inBrackets } from '../../address.ts';
import type { HeaderBatch } from '../../milter/header-list.ts';
import type { MacroNews } from '../../milter/macros.ts';
import type { Client, Negotiated } from '../../milter/session.ts';
import { decodeTexts, textEnd } from '../../protocol/frames.ts';
import { stageIndex } from '../../protocol/stages.ts';
import { decodeText } from '../../text.ts';
import type { BodyRecord, EnginePlan, Records } from '../engine.ts';

/** What belongs to a stage; nothing for most. */
type Content = Negotiated | Client | Payload | HeaderBatch | BodyRecord | undefined;

interface StageRecord {
  readonly stage: number;
  readonly macros: MacroNews | undefined;
  readonly content: Content;
}

const NOTHING = Buffer.alloc(0);

export class Recorder {
  #connection: StageRecord[] = [];
  #message: StageRecord[] = [];
  #headers: Headers | undefined;
  #chunks: Buffer[] = [];
  #bodyLength = 0;
  #bodySeen = false;
  #bodyComplete = true;

  negotiation(negotiated: Negotiated): void {
    this.#connection.push({ stage: stageIndex.negotiate, macros: undefined, content: negotiated });
  }

  connect(client: Client, macros: MacroNews | undefined): void {
    this.#connection.push({ stage: stageIndex.connect, macros, content: client });
  }

  helo(bytes: Buffer, start: number, end: number, macros: MacroNews | undefined): void {
    // It is kept as long as the connection says no more, so it keeps nothing else alive.
    const content = new Payload(Buffer.from(bytes.subarray(start, end)), 0, end - start);
    this.#connection.push({ stage: stageIndex.helo, macros, content });
  }

  /** A stage of the message whose payload is one text or more. */
  texts(stage: number, bytes: Buffer, start: number, end: number, macros: MacroNews | undefined): void {
    this.#message.push({ stage, macros, content: new Payload(bytes, start, end) });
  }

  /** A stage without a payload. */
  plain(stage: number, macros: MacroNews | undefined): void {
    this.#flush();
    this.#message.push({ stage, macros, content: undefined });
  }

  header(bytes: Buffer, start: number, nameEnd: number, end: number): void {
    this.#headers ??= new Headers();
    this.#headers.add(bytes, start, nameEnd, end);
  }

  body(chunk: Buffer, plan: EnginePlan): void {
    this.#flushHeaders();
    this.#bodySeen = true;
    if (!this.#bodyComplete) return;
    this.#bodyLength += chunk.length;
    if (this.#bodyLength > plan.maxBody) {
      // A truncated body must never replace a mail, so there is no use in keeping the first part.
      this.#bodyComplete = false;
      this.#chunks = [];
      return;
    }
    this.#chunks.push(chunk);
  }

  eom(macros: MacroNews | undefined): void {
    this.plain(stageIndex.eom, macros);
    this.#bodyComplete = true;
  }

  /** Drops what was gathered of the message: it ended and nobody ever heard of it. */
  dropMessage(): void {
    this.#message = [];
    this.#headers = undefined;
    this.#chunks = [];
    this.#bodyLength = 0;
    this.#bodySeen = false;
    this.#bodyComplete = true;
  }

  /** Hands over all that was gathered. */
  take(): Records {
    this.#flush();
    let records = this.#message;
    if (this.#connection.length > 0) {
      records = [...this.#connection, ...records];
      this.#connection = [];
    }
    this.#message = [];
    return new RecordList(records);
  }

  #flush(): void {
    this.#flushHeaders();
    if (!this.#bodySeen) return;
    const chunks = this.#chunks;
    const content: BodyRecord = {
      complete: this.#bodyComplete,
      chunks: chunks.length > 0 ? chunks : [NOTHING],
    };
    this.#message.push({ stage: stageIndex.body, macros: undefined, content });
    this.#chunks = [];
    this.#bodyLength = 0;
    this.#bodySeen = false;
  }

  #flushHeaders(): void {
    if (this.#headers === undefined) return;
    this.#message.push({ stage: stageIndex.header, macros: undefined, content: this.#headers });
    this.#headers = undefined;
  }
}

class RecordList implements Records {
  readonly #records: readonly StageRecord[];
  #next = 0;
  #current: StageRecord | undefined;

  constructor(records: readonly StageRecord[]) {
    this.#records = records;
  }

  get done(): boolean {
    return this.#next >= this.#records.length;
  }

  stage(): number {
    this.#current = this.#records[this.#next++];
    return this.#current?.stage ?? -1;
  }

  macros(): MacroNews | undefined {
    return this.#current?.macros;
  }

  negotiation(): Negotiated {
    return this.#content();
  }

  client(): Client {
    return this.#content();
  }

  text(): string {
    return this.#content<Payload>().text();
  }

  envelope(): { readonly address: string; readonly parameters: readonly string[] } {
    const parameters = this.#content<Payload>().texts();
    const address = parameters.shift() ?? '';
    return { address: inBrackets(address), parameters };
  }

  headers(): HeaderBatch {
    return this.#content();
  }

  body(): BodyRecord {
    return this.#content();
  }

  /** What belongs to the stage: the recorder put there what the stage has. */
  #content<T extends Content>(): T {
    return this.#current?.content as T;
  }
}

/** What the MTA sent with a command. */
class Payload {
  readonly #bytes: Buffer;
  readonly #start: number;
  readonly #end: number;

  constructor(bytes: Buffer, start: number, end: number) {
    this.#bytes = bytes;
    this.#start = start;
    this.#end = end;
  }

  text(): string {
    return decodeText(this.#bytes, this.#start, textEnd(this.#bytes, this.#start, this.#end));
  }

  texts(): string[] {
    return decodeTexts(this.#bytes, this.#start, this.#end);
  }
}

/** Headers as they came: in which bytes each is, and where its name and its value end. */
class Headers implements HeaderBatch {
  readonly #places: HeaderPlace[] = [];

  add(bytes: Buffer, start: number, nameEnd: number, end: number): void {
    this.#places.push({ bytes, start, nameEnd, end });
  }

  read(take: (name: string, value: Buffer) => void): void {
    for (const { bytes, start, nameEnd, end } of this.#places) {
      take(decodeText(bytes, start, nameEnd), bytes.subarray(nameEnd + 1, textEnd(bytes, nameEnd + 1, end)));
    }
  }
}

interface HeaderPlace {
  readonly bytes: Buffer;
  readonly start: number;
  readonly nameEnd: number;
  readonly end: number;
}
