/**
 * Reading winmail.dat: the files in Microsoft's Transport Neutral Encapsulation Format (MS-OXTNEF).
 */
import type { Budget } from './archive-budget.ts';

/** The signature and a key. */
const HEADER = 6;

/** What is inside of one attachment: its content, and all the names that it has. */
export interface TnefMember {
  readonly names: readonly string[];
  readonly data: Buffer;
}

/** The last two bytes of the attributes that are read (MS-OXTNEF section 2.1.3.4). */
const Attribute = { renderData: 0x9002, title: 0x8010, data: 0x800f, properties: 0x9005 } as const;

/** Properties that name an attachment: long name, name, name in transport, name shown, extension alone (MS-OXPROPS). */
const NAMES = new Set([0x3707, 0x3704, 0x370c, 0x3001]);
const EXTENSION = 0x3703;
const CONTENT = 0x3701;

/** Lists the attachments in a TNEF stream. Never throws but for a limit. */
export async function readTnef(
  bytes: Buffer,
  budget: Budget,
): Promise<{ members: readonly TnefMember[]; fault: string | undefined }> {
  const members: { names: string[]; data: Buffer }[] = [];
  let fault: string | undefined;
  let position = HEADER;
  while (position + 9 <= bytes.length && fault === undefined) {
    const id = bytes.readUInt16LE(position + 1);
    const length = bytes.readUInt32LE(position + 5);
    const value = bytes.subarray(position + 9, position + 9 + length);
    if (value.length < length) fault = 'it is cut short';
    if (id === Attribute.renderData || (members.length === 0 && isOfAttachment(id))) {
      await budget.countMember();
      members.push({ names: [], data: Buffer.alloc(0) });
    }
    const member = members.at(-1);
    if (member && id === Attribute.title) member.names.push(text(value));
    else if (member && id === Attribute.data) member.data = value;
    else if (member && id === Attribute.properties) fault ??= readProperties(value, member);
    // Two bytes of checksum follow.
    position += 9 + length + 2;
  }
  return { members, fault };
}

function isOfAttachment(id: number): boolean {
  return id === Attribute.title || id === Attribute.data || id === Attribute.properties;
}

/** Reads names and content from an attachment's properties (MS-OXTNEF section 2.1.3.4.1). Answers what is wrong, if anything. */
function readProperties(bytes: Buffer, member: { names: string[]; data: Buffer }): string | undefined {
  const reader = new Reader(bytes);
  const count = reader.number();
  for (let i = 0; i < count && !reader.isOver; i++) {
    const type = reader.number(2);
    const id = reader.number(2);
    if (id >= 0x8000) {
      // A property with a name of its own.
      reader.skip(16);
      const isText = reader.number() === 1;
      const size = reader.number();
      if (isText) reader.take(size);
    }
    const base = type & 0xfff;
    const isVariable = base === 0x1e || base === 0x1f || base === 0x0d || base === 0x102;
    const values = isVariable || (type & 0x1000) !== 0 ? reader.number() : 1;
    const width = FIXED[base];
    if (!isVariable && width === undefined) return `its property ${id.toString(16)} is of an unknown type`;
    for (let k = 0; k < values && !reader.isOver && width !== 0; k++) {
      const value = isVariable ? reader.take(reader.number()) : reader.take(width ?? 0);
      const string = base === 0x1f ? text(Buffer.from(value.toString('utf16le'))) : text(value);
      if (NAMES.has(id)) member.names.push(string);
      else if (id === EXTENSION && member.names.length === 0) member.names.push(`attachment${string}`);
      // An object is preceded by the identifier of its interface.
      else if (id === CONTENT && isVariable) member.data = base === 0x0d ? value.subarray(16) : value;
    }
  }
  return reader.isOver && reader.isBeyond ? 'the properties of an attachment are cut short' : undefined;
}

/** Bytes that a value of these types takes (MS-OXCDATA section 2.11.1). */
const FIXED: Readonly<Record<number, number>> = {
  0: 0,
  1: 0,
  2: 2,
  3: 4,
  4: 4,
  5: 8,
  6: 8,
  7: 8,
  10: 4,
  11: 2,
  20: 8,
  64: 8,
  72: 16,
};

class Reader {
  readonly #bytes: Buffer;
  #position = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get isOver(): boolean {
    return this.#position >= this.#bytes.length;
  }

  get isBeyond(): boolean {
    return this.#position > this.#bytes.length;
  }

  number(size: 2 | 4 = 4): number {
    const at = this.#position;
    this.#position += size;
    if (this.isBeyond) return 0;
    return size === 2 ? this.#bytes.readUInt16LE(at) : this.#bytes.readUInt32LE(at);
  }

  skip(size: number): void {
    this.#position += size;
  }

  /** So many bytes, and past what fills them up to a multiple of four. */
  take(size: number): Buffer {
    const value = this.#bytes.subarray(this.#position, this.#position + size);
    this.#position += Math.ceil(size / 4) * 4;
    return value;
  }
}

function text(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString('latin1', 0, end < 0 ? bytes.length : end);
}
