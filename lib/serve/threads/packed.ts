/**
 * What goes from thread to thread: the records of a ticket, and an answer, as plain values. All bytes that belong
 * together are copied into one piece, which is handed over: what is merely sent would take all memory along of which it
 * is a part.
 */
import type { AnswerParts, BodyRecord, EnginePlan, Records } from '../../engine/engine.ts';
import type { HeaderBatch } from '../../milter/header-list.ts';
import type { MacroNews } from '../../milter/macros.ts';
import type { Action } from '../../milter/replay.ts';
import type { Client, Negotiated } from '../../milter/session.ts';
import { stages } from '../../protocol/stages.ts';

/** Pieces of memory in one. */
interface PackedBytes {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly lengths: readonly number[];
}

type Envelope = ReturnType<Records['envelope']>;

interface PackedHeaders {
  readonly names: readonly string[];
  readonly values: PackedBytes;
}

interface PackedBody {
  readonly complete: boolean;
  readonly chunks: PackedBytes;
}

/** One record. A macro without a value has none any more. */
export interface PackedRecord {
  readonly stage: number;
  readonly macros: readonly (readonly [string, string | undefined])[];
  readonly content: Negotiated | Client | string | Envelope | PackedHeaders | PackedBody | undefined;
}

/** An answer's parts. */
export interface PackedAnswer extends Omit<AnswerParts, 'actions'> {
  readonly actions?: readonly Omit<Action, 'first' | 'second'>[];
  /** `first` and `second` of each action. */
  readonly texts?: PackedBytes;
}

/** Reads all records of a ticket. What is to be handed over is added to `given`. */
export function packRecords(records: Records, { macros }: EnginePlan, given: ArrayBuffer[]): PackedRecord[] {
  const packed: PackedRecord[] = [];
  while (!records.done) {
    const stage = records.stage();
    const news = new MacroChanges();
    records.macros()?.read(macros, news);
    packed.push({ stage, macros: news.changes, content: packContent(stage, records, given) });
  }
  return packed;
}

function packContent(stage: number, records: Records, given: ArrayBuffer[]): PackedRecord['content'] {
  switch (stages[stage]) {
    case 'negotiate':
      return records.negotiation();
    case 'connect':
      return records.client();
    case 'helo':
    case 'unknown':
      return records.text();
    case 'envfrom':
    case 'envrcpt':
      return records.envelope();
    case 'header': {
      const names: string[] = [];
      const values: Buffer[] = [];
      records.headers().read((name, value) => {
        names.push(name);
        values.push(value);
      });
      return { names, values: packBytes(values, given) };
    }
    case 'body': {
      const { complete, chunks } = records.body();
      return { complete, chunks: packBytes(chunks, given) };
    }
    default:
      return undefined;
  }
}

/** Notes what is written into it. */
class MacroChanges extends Map<string, string> {
  readonly changes: [string, string | undefined][] = [];

  override set(name: string, value: string): this {
    this.changes.push([name, value]);
    return this;
  }

  override delete(name: string): boolean {
    return this.changes.push([name, undefined]) > 0;
  }
}

/** The records as the other thread reads them. */
export class UnpackedRecords implements Records {
  readonly #records: readonly PackedRecord[];
  #next = 0;

  constructor(records: readonly PackedRecord[]) {
    this.#records = records;
  }

  get done(): boolean {
    return this.#next >= this.#records.length;
  }

  stage(): number {
    return this.#records[this.#next++]?.stage ?? -1;
  }

  macros(): MacroNews | undefined {
    const changes = this.#records[this.#next - 1]?.macros ?? [];
    if (changes.length === 0) return undefined;
    return {
      read: (_, values) => {
        for (const [name, value] of changes) {
          if (value === undefined) values.delete(name);
          else values.set(name, value);
        }
      },
    };
  }

  negotiation(): Negotiated {
    return this.#content();
  }

  client(): Client {
    return this.#content();
  }

  text(): string {
    return this.#content();
  }

  envelope(): Envelope {
    return this.#content();
  }

  headers(): HeaderBatch {
    const { names, values } = this.#content<PackedHeaders>();
    return {
      read: (take) => {
        for (const [i, value] of unpackBytes(values).entries()) take(names[i] ?? '', value);
      },
    };
  }

  body(): BodyRecord {
    const { complete, chunks } = this.#content<PackedBody>();
    return { complete, chunks: unpackBytes(chunks) };
  }

  /** What belongs to the stage: it was packed by the same stage. */
  #content<T extends PackedRecord['content']>(): T {
    return this.#records[this.#next - 1]?.content as T;
  }
}

/** What is to be handed over is added to `given`. */
export function packAnswer({ actions, ...rest }: AnswerParts, given: ArrayBuffer[]): PackedAnswer {
  if (actions === undefined) return rest;
  const texts = packBytes(
    actions.flatMap(({ first, second }) => [first, second]),
    given,
  );
  return { ...rest, actions: actions.map(({ first, second, ...action }) => action), texts };
}

export function unpackAnswer({ actions, texts, ...rest }: PackedAnswer): AnswerParts {
  if (actions === undefined || texts === undefined) return rest;
  const pieces = unpackBytes(texts);
  const piece = (index: number): Buffer => pieces[index] ?? Buffer.alloc(0);
  return {
    ...rest,
    actions: actions.map((action, i) => ({ ...action, first: piece(2 * i), second: piece(2 * i + 1) })),
  };
}

function packBytes(pieces: readonly Uint8Array[], given: ArrayBuffer[]): PackedBytes {
  const lengths = pieces.map(({ length }) => length);
  const bytes = new Uint8Array(lengths.reduce((sum, length) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  given.push(bytes.buffer);
  return { bytes, lengths };
}

function unpackBytes({ bytes, lengths }: PackedBytes): Buffer[] {
  let at = bytes.byteOffset;
  return lengths.map((length) => {
    at += length;
    return Buffer.from(bytes.buffer, at - length, length);
  });
}
