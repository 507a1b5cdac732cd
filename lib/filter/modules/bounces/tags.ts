/** Our own senders, signed in one of three ways. All three are known again, whichever signs now. */
import { parseAddress } from '../../../index.ts';
import { type BatvOptions, createBatv, createSes, createSrs, SrsError } from '../../../srs/index.ts';
import { aLabels, type Signing } from '../../kit.ts';
import { type Counted, countedOf, sesNumber, sesOptions } from './ses-uses.ts';

/** A way to sign. */
export type Way = 'srs' | 'ses' | 'batv';

/** An address that carries a signature. */
export interface Tagged {
  /** Without it. Trust it only if `fault` is undefined. */
  readonly address: string;
  /** Why it is not good. */
  readonly fault: SrsError | undefined;
  /** Of a signature that may be seen so often only. */
  readonly counted: Counted | undefined;
}

/** BATV tags are good for no longer. */
const MOST_DAYS = 900;
const TAG = /^(?:SRS0(?=[-+=])|SES(?==)|prvs(?==))/i;

/** How BATV tags are made and known again, by the secrets that are in force now. */
export function batvOptions(
  { secrets, maxAge }: Signing,
  now: () => number,
): BatvOptions & { readonly maxAge: number } {
  return { secrets, maxAge: Math.min(maxAge, MOST_DAYS), now };
}

/** Signs and verifies by the secrets that are in force at the time. */
export class Tags {
  readonly #now: () => number;
  /** As the role has it; undefined while nobody has it. */
  readonly #signing: () => Signing | undefined;
  #made: ReturnType<typeof makeAll> | undefined;

  constructor(signing: () => Signing | undefined, now: () => number) {
    this.#signing = signing;
    this.#now = now;
  }

  /**
   * Signs the sender of a message.
   * @param recipients how many it has: each may bring bounces
   * @throws SrsError where the address would be too long
   */
  sign(sender: string, way: Way, recipients: number): string {
    const made = this.#current;
    if (made === undefined) throw new Error('module srs has no secrets to sign with');
    switch (way) {
      case 'srs':
        return made.srs.sign(sender);
      case 'ses':
        // Its hash is by the case of the local part, which MTAs and resolvers change.
        return made.sesFor(recipients).sign(sender.toLowerCase());
      case 'batv':
        return made.batv.sign(sender);
    }
  }

  /** The signature of an address; undefined for those without one, and where it is module `srs` that takes it back. */
  read(address: string): Tagged | undefined {
    const { local, domain } = parseAddress(address);
    const [tag] = TAG.exec(local) ?? [];
    const made = this.#current;
    if (tag === undefined || made === undefined || domain === '') return undefined;
    try {
      switch (tag.toLowerCase()) {
        case 'srs0': {
          if (aLabels(domain) === made.signing.domain) return undefined;
          const report = made.srs.inspect(address);
          // Rewritten for another domain, it would be none of ours.
          const fault = report.signed
            ? report.fault
            : new SrsError('form', 'this address was not signed here');
          return { address: report.address, fault, counted: undefined };
        }
        case 'ses': {
          const asWritten = made.ses.inspect(address);
          const report = asWritten.secret === undefined ? made.ses.inspect(address.toLowerCase()) : asWritten;
          return { address: report.address, fault: report.fault, counted: countedOf(report) };
        }
        default: {
          const { address: bare, fault } = made.batv.inspect(address);
          return { address: bare, fault, counted: undefined };
        }
      }
    } catch (error) {
      if (!(error instanceof SrsError)) throw error;
      return { address: '', fault: error, counted: undefined };
    }
  }

  get #current(): ReturnType<typeof makeAll> | undefined {
    const signing = this.#signing();
    if (signing === undefined || signing.secrets.length === 0) return undefined;
    if (this.#made?.secrets !== signing.secrets) this.#made = makeAll(signing, this.#now);
    return this.#made;
  }
}

function makeAll(signing: Signing, now: () => number) {
  const { secrets, maxAge, hashLength, separator } = signing;
  const ses = sesOptions(signing, now);
  return {
    signing,
    secrets,
    srs: createSrs({ secrets, maxAge, hashLength, separator, now }),
    ses: createSes(ses),
    sesFor: (recipients: number) => createSes({ ...ses, id: () => sesNumber(recipients) }),
    batv: createBatv(batvOptions(signing, now)),
  };
}
