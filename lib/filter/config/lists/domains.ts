/** Domains in lists: as fast for a hundred thousand as for one, but for globs other than `*.example.com`. */
import { show } from '../../../options.ts';
import { aLabels, isDomain } from '../domains.ts';
import { BadValue } from '../faults.ts';
import { isGlob, matchesGlob } from './glob.ts';

/** A set of domains: `example.com`, `.example.com` (it and all below), and globs. */
export class DomainSet {
  readonly #exact = new Set<string>();
  /** Of `.example.com`. */
  readonly #trees = new Set<string>();
  /** Of `*.example.com`. */
  readonly #below = new Set<string>();
  readonly #globs: string[] = [];

  get empty(): boolean {
    return this.#exact.size + this.#trees.size + this.#below.size + this.#globs.length === 0;
  }

  /** @throws BadValue for what is neither a domain nor a glob of one */
  add(entry: string): void {
    const isTree = entry.startsWith('.');
    const domain = entry
      .slice(isTree ? 1 : 0)
      .split('.')
      .map(aLabels)
      .join('.');
    const named = domain.replace(/^\*\./, '');
    if (isGlob(named)) {
      if (isTree || !/^[a-z0-9_.*?-]+$/.test(named)) throw noDomain(entry);
      this.#globs.push(domain);
      return;
    }
    const name = aLabels(named);
    if (!isDomain(name) || (isTree && named !== domain)) throw noDomain(entry);
    const into = isTree ? this.#trees : named === domain ? this.#exact : this.#below;
    into.add(name);
  }

  /** @param domain as {@link aLabels} writes it */
  has(domain: string): boolean {
    if (this.#exact.has(domain) || this.#trees.has(domain)) return true;
    if (this.#trees.size + this.#below.size > 0) {
      for (let dot = domain.indexOf('.'); dot >= 0; dot = domain.indexOf('.', dot + 1)) {
        const parent = domain.slice(dot + 1);
        if (this.#trees.has(parent) || this.#below.has(parent)) return true;
      }
    }
    return this.#globs.some((glob) => matchesGlob(glob, domain));
  }
}

function noDomain(entry: string): BadValue {
  return new BadValue(`${show(entry)} is no domain`);
}
