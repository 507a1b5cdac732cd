/**
 * What the native side does with bytes, for sessions without it: packs records as native/core/recorder.cc does and
 * unpacks answers as native/core/answer.cc does. lib/run/native.ts documents the layout of records.
 */
import { GONE } from '../milter/macros.ts';
import type { Action } from '../milter/replay.ts';
import { type Stage, stageIndex } from '../protocol/stages.ts';

export function u32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

/** A text: its length and its bytes. */
export function packText(bytes: Buffer): Buffer {
  return Buffer.concat([u32(bytes.length), bytes]);
}

/** A record without what belongs to its stage. `macros` are by their index in the plan; undefined have no value. */
export function packRecord(
  stage: Stage,
  macros: ReadonlyMap<number, string | undefined>,
  ...rest: readonly Buffer[]
): Buffer {
  const packed = [...macros].flatMap(([index, value]) => [
    Buffer.of(index),
    value === undefined ? u32(GONE) : packText(Buffer.from(value)),
  ]);
  const values = Buffer.concat(packed);
  const head = Buffer.of(stageIndex[stage], macros.size);
  return Buffer.concat([head, macros.size === 0 ? Buffer.alloc(0) : packText(values), ...rest]);
}

/** A ticket alone in its batch. */
export function packTicket(
  id: number,
  session: number,
  plan: number,
  stage: number,
  records: Buffer = Buffer.alloc(0),
): Buffer {
  return Buffer.concat([
    u32(records.length),
    u32(id),
    u32(session),
    u32(plan),
    Buffer.of(stage, 0, 0, 0),
    records,
  ]);
}

/** What an answer brings with its verdict. */
export interface UnpackedAnswer {
  readonly reply:
    | { readonly code: Buffer; readonly enhanced: Buffer; readonly lines: readonly Buffer[] }
    | undefined;
  readonly actions: readonly Omit<Action, 'owner' | 'serial'>[] | undefined;
  readonly plan: { readonly id: number; readonly actions: number; readonly steps: number } | undefined;
}

export function unpackAnswer(packed: Buffer | undefined): UnpackedAnswer {
  if (packed === undefined) return { reply: undefined, actions: undefined, plan: undefined };
  const reader = new Reader(packed);
  const contents = reader.u8();
  const reply = contents & 1 ? new Reader(reader.text()) : undefined;
  const actions = contents & 2 ? new Reader(reader.text()) : undefined;
  return {
    reply: reply && { code: reply.text(), enhanced: reply.text(), lines: reply.list(() => reply.text()) },
    actions: actions && (actions.empty ? [] : actions.list(() => readAction(actions))),
    plan: contents & 4 ? { id: reader.u32(), actions: reader.u32(), steps: reader.u32() } : undefined,
  };
}

function readAction(reader: Reader): Omit<Action, 'owner' | 'serial'> {
  const kind = reader.u8() as Action['kind'];
  return { kind, index: reader.u32(), first: reader.text(), second: reader.text() };
}

class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get empty(): boolean {
    return this.#bytes.length === 0;
  }

  u8(): number {
    return this.#bytes.readUInt8(this.#at++);
  }

  u32(): number {
    this.#at += 4;
    return this.#bytes.readUInt32LE(this.#at - 4);
  }

  text(): Buffer {
    const length = this.u32();
    const text = this.#bytes.subarray(this.#at, this.#at + length);
    this.#at += length + 1;
    return text;
  }

  list<T>(read: () => T): T[] {
    return Array.from({ length: this.u32() }, read);
  }
}
