/** A query and its reply, as what packs and unpacks them shows them to who sends them. */
import type { RecordOf, RecordType } from './answer.ts';

/** A query as sent, by which its reply is known. */
export interface Query {
  readonly id: number;
  /** In lower case, without the final dot. */
  readonly name: string;
  readonly type: RecordType;
  readonly bytes: Buffer;
  /**
   * Reads what came for it. `foreign` is no reply to it, and must not end the wait for one; `malformed` is a reply, but
   * broken.
   */
  read(bytes: Buffer): Reply | 'foreign' | 'malformed';
}

/** A record of class IN and a type that can be asked for. */
export type ReplyRecord = {
  [T in RecordType]: {
    /** In lower case, without the final dot. */
    readonly owner: string;
    readonly type: T;
    readonly ttl: number;
    readonly data: RecordOf[T];
  };
}[RecordType];

/** A reply to our query. */
export interface Reply {
  /** With the upper bits of EDNS. */
  readonly rcode: number;
  readonly truncated: boolean;
  readonly answers: readonly ReplyRecord[];
  /** Seconds for which an absence may be kept (RFC 2308 section 5); undefined without an SOA. */
  readonly absenceTtl: number | undefined;
}
