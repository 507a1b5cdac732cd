/** Which addresses are rewritten and taken back, for the milter and for the socket map alike. */
import { parseAddress } from '../../../index.ts';
import { createSrs, type Srs, SrsError, type SrsReport } from '../../../srs/index.ts';
import { aLabels, type Signing } from '../../kit.ts';
import { type SrsModuleOptions, signingOf } from './options.ts';

const TAGGED = /^SRS[01][-+=]/i;
/** An address that we rewrote may have been rewritten by us again, hardly ever more often. */
const MAX_LAYERS = 3;

/** What they have to do with us. */
export interface Surroundings {
  readonly now: () => number;
  /** Whether a domain or address is ours. */
  isOurs(address: string): boolean;
  /** Is told why an address that should be rewritten was not. */
  failed(address: string, error: SrsError): void;
}

/** Rewrites by the secrets that are in force at the time. */
export class SrsAddresses {
  readonly #options: SrsModuleOptions;
  readonly #signing: Signing;
  readonly #surroundings: Surroundings;
  #srs: { readonly secrets: readonly string[]; readonly srs: Srs } | undefined;

  constructor(options: SrsModuleOptions, surroundings: Surroundings) {
    this.#options = options;
    this.#signing = signingOf(options);
    this.#surroundings = surroundings;
  }

  /** Undefined while there are no secrets. */
  get #current(): Srs | undefined {
    const { secrets, maxAge, hashLength, separator } = this.#signing;
    if (secrets.length === 0) return undefined;
    if (this.#srs?.secrets !== secrets) {
      const { now } = this.#surroundings;
      this.#srs = { secrets, srs: createSrs({ secrets, maxAge, hashLength, separator, now }) };
    }
    return this.#srs.srs;
  }

  /** What mail from this address is sent on with; undefined where it stays as it is. */
  forward(sender: string): string | undefined {
    const { domain: to, exclude } = this.#options;
    const srs = this.#current;
    const { local, domain } = parseAddress(sender);
    if (srs === undefined || to === undefined || local === '' || domain === '') return undefined;
    if (aLabels(domain) === to || exclude.has(sender) || this.#surroundings.isOurs(sender)) return undefined;
    try {
      return srs.forward(sender, to);
    } catch (error) {
      if (!(error instanceof SrsError)) throw error;
      this.#surroundings.failed(sender, error);
      return undefined;
    }
  }

  /** What an address in our domain that looks rewritten says of itself, or why it is none; undefined for all others. */
  inspect(recipient: string): SrsReport | SrsError | undefined {
    const srs = this.#current;
    const { local, domain } = parseAddress(recipient);
    if (srs === undefined || aLabels(domain) !== this.#options.domain || !TAGGED.test(local))
      return undefined;
    try {
      return srs.inspect(recipient);
    } catch (error) {
      if (!(error instanceof SrsError)) throw error;
      return error;
    }
  }

  /** The address that this one was made of; null where it is forged or expired, undefined where it is none of ours. */
  reverse(recipient: string): string | null | undefined {
    let address: string | undefined;
    for (let layer = 0; layer < MAX_LAYERS; layer++) {
      const report = this.inspect(address ?? recipient);
      if (report === undefined) return address;
      if (report instanceof SrsError || report.fault !== undefined) return null;
      address = report.address;
    }
    return null;
  }
}
