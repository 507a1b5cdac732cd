/**
 * DNS messages, by way of dns2: the only file that knows it.
 *
 * The message is read record by record rather than with dns2's own `Packet.parse`, for three reasons: the question is
 * compared before anything else is believed, the first broken record ends it, and the bytes of a TXT record are taken
 * from the message itself, since dns2 decodes them as UTF-8 and loses what is not.
 */
import type DNS from 'dns2';
import { Packet } from 'dns2';
import { RCODE } from '../rcode.ts';
import type { RecordType } from './answer.ts';
import type { Query, Reply, ReplyRecord } from './reply.ts';

/** What fits into a UDP packet on every path (the DNS flag day of 2020). */
const UDP_PAYLOAD = 1232;
const HEADER_SIZE = 12;
/** A record of 12 bytes may have a name of 255, by one pointer. */
const READS_PER_BYTE = 24;

/** A query with an unpredictable id. `edns` announces that a larger UDP reply is welcome. */
export function encodeQuery(name: string, type: RecordType, edns: boolean): Query {
  const id = Packet.uuid();
  const packet = new Packet(new Packet.Header({ id, rd: 1 }));
  packet.questions.push(new Packet.Question(name, Packet.TYPE[type], Packet.CLASS.IN));
  if (edns) packet.additionals.push(Packet.Resource.EDNS([], { udpPayloadSize: UDP_PAYLOAD }));
  const query: Query = { id, name, type, bytes: packet.toBuffer(), read: (bytes) => readReply(bytes, query) };
  return query;
}

/** See {@link Query.read}. */
function readReply(bytes: Buffer, query: Query): Reply | 'foreign' | 'malformed' {
  if (bytes.length < HEADER_SIZE) return 'foreign';
  const reader = new BoundedReader(bytes);
  const header = Packet.Header.parse(reader);
  if (header.id !== query.id || header.qr !== 1 || header.opcode !== 0) return 'foreign';
  // A server that could not read the question may leave it out.
  const mayLackQuestion = header.rcode === RCODE.formerr || header.rcode === RCODE.notimp;
  if (header.qdcount !== 1 && !(header.qdcount === 0 && mayLackQuestion)) return 'foreign';
  try {
    if (header.qdcount === 1 && !isQuestion(Packet.Question.parse(reader), query)) return 'foreign';
  } catch {
    return 'foreign';
  }
  const truncated = header.tc === 1;
  if (truncated) return { rcode: header.rcode, truncated, answers: [], absenceTtl: undefined };
  try {
    const answers: ReplyRecord[] = [];
    for (let i = 0; i < header.ancount; i++) {
      const record = readRecord(reader);
      if (record !== undefined) answers.push(record);
    }
    let absenceTtl: number | undefined;
    for (let i = 0; i < header.nscount; i++) {
      const { type, ttl, minimum } = Packet.Resource.parse(reader);
      if (type === Packet.TYPE.SOA && minimum !== undefined) absenceTtl = Math.min(ttl, minimum);
    }
    let { rcode } = header;
    for (let i = 0; i < header.arcount; i++) {
      const { type, extendedRcode = 0 } = Packet.Resource.parse(reader);
      if (type === Packet.TYPE.EDNS) rcode |= extendedRcode << 4;
    }
    return { rcode, truncated, answers, absenceTtl };
  } catch {
    return 'malformed';
  }
}

/**
 * Reads no more often than an honest message needs. Compression pointers may form chains, each of many records may lead
 * through one, and then 64 KB would hold the process up for seconds.
 */
class BoundedReader extends Packet.Reader {
  #left: number;

  constructor(bytes: Buffer) {
    super(bytes);
    this.#left = bytes.length * READS_PER_BYTE;
  }

  override read(bits: number): number {
    if (--this.#left < 0) throw new Error('the names of the message are too entangled');
    return super.read(bits);
  }
}

function isQuestion(question: DNS.Packet.Question, { name, type }: Query): boolean {
  return (
    question.name.toLowerCase() === name &&
    question.type === Packet.TYPE[type] &&
    question.class === Packet.CLASS.IN
  );
}

/** Reads the next record; undefined if it is of a class or type that nobody here asks for. */
function readRecord(reader: DNS.Packet.Reader): ReplyRecord | undefined {
  const start = reader.offset;
  const record = Packet.Resource.parse(reader);
  if (record.class !== Packet.CLASS.IN) return undefined;
  const owner = record.name.toLowerCase();
  const { ttl, address = '', domain = '', ns = '', exchange = '', priority = 0 } = record;
  switch (record.type) {
    case Packet.TYPE.A:
      return { owner, type: 'A', ttl, data: address };
    case Packet.TYPE.AAAA:
      return { owner, type: 'AAAA', ttl, data: address };
    case Packet.TYPE.CNAME:
      return { owner, type: 'CNAME', ttl, data: domain };
    case Packet.TYPE.MX:
      return { owner, type: 'MX', ttl, data: { preference: priority, exchange } };
    case Packet.TYPE.NS:
      return { owner, type: 'NS', ttl, data: ns };
    case Packet.TYPE.PTR:
      return { owner, type: 'PTR', ttl, data: domain };
    case Packet.TYPE.TXT:
      return { owner, type: 'TXT', ttl, data: characterStrings(rdata(reader, start)) };
    default:
      return undefined;
  }
}

/** The RDATA of the record that begins at bit `start` and that `reader` has just passed. */
function rdata(reader: DNS.Packet.Reader, start: number): Buffer {
  const name = new Packet.Reader(reader.buffer, start);
  Packet.Name.decode(name);
  // After the name come type, class, TTL and length: 10 bytes.
  return reader.buffer.subarray(name.offset / 8 + 10, reader.offset / 8);
}

/** The lengths are within bounds: dns2 has read the record. */
function characterStrings(bytes: Buffer): Buffer[] {
  const strings: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + 1 + (bytes[at] ?? 0);
    strings.push(bytes.subarray(at + 1, end));
    at = end;
  }
  return strings;
}
