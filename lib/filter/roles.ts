/** Who does what for the others in a configuration. */
import type { Role } from './facts.ts';

/** The roles of a configuration. */
export class Roles {
  readonly #provided = new Map<string, unknown[]>();

  provide<T>({ role }: Role<T>, value: T): void {
    const list = this.#provided.get(role) ?? [];
    list.push(value);
    this.#provided.set(role, list);
  }

  /** All that took on the role, in file order. */
  all<T>({ role }: Role<T>): readonly T[] {
    return (this.#provided.get(role) ?? []) as T[];
  }

  /** Who has that role; undefined where no module does. */
  first<T>(role: Role<T>): T | undefined {
    return this.all(role)[0];
  }
}
