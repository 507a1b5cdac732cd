/** The macros of one connection: a list for each command with which the MTA sends some. */
import type { MacroNews } from '../../milter/macros.ts';
import { decodeTexts } from '../../protocol/frames.ts';
import type { MacroStage } from '../../protocol/stages.ts';

/** The places of the lists, from the one sent first. */
const places = { connect: 0, helo: 1, envfrom: 2, envrcpt: 3, data: 4, eoh: 5, eom: 6 } as const;

/** The commands that forget what came with later ones. */
const FORGETTING = places.envrcpt;

const NOTHING = Buffer.alloc(0);

/** What came with one command, taken apart when somebody asks. */
class MacroList {
  #bytes: Buffer;
  #values: ReadonlyMap<string, string> | undefined;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get(name: string): string | undefined {
    if (this.#values === undefined) {
      const texts = decodeTexts(this.#bytes, 0, this.#bytes.length);
      const values = new Map<string, string>();
      // A last name that has no value is none.
      for (let i = 0; i + 1 < texts.length; i += 2) {
        const name = bare(texts[i] ?? '');
        if (!values.has(name)) values.set(name, texts[i + 1] ?? '');
      }
      this.#values = values;
      this.#bytes = NOTHING;
    }
    return this.#values.get(name);
  }
}

type Lists = readonly (MacroList | undefined)[];
const NONE: Lists = [undefined, undefined, undefined, undefined, undefined, undefined, undefined];

export class MacroLists {
  #lists: Lists = NONE;
  /** Which of them came since their command was last given, by place. */
  #fresh = 0;

  /** The MTA sent what is to go with `stage`. */
  took(stage: MacroStage, bytes: Buffer): void {
    const place = places[stage];
    // The connection's lists last: they hold on to no more than their own bytes.
    this.#set(place, new MacroList(place <= places.helo ? Buffer.from(bytes) : bytes));
    this.#fresh |= 1 << place;
  }

  /**
   * A stage came: what was sent with an earlier occurrence of it, or with a later command, is not to be seen any more.
   * Stages without macros do nothing here.
   */
  came(stage: MacroStage): void {
    const place = places[stage];
    if ((this.#fresh & (1 << place)) === 0) this.#set(place, undefined);
    if (place <= FORGETTING) for (let later = place + 1; later < NONE.length; later++) this.#forget(later);
    this.#fresh &= ~(1 << place);
  }

  /** The message is over, and its macros with it. Those that came already for the next MAIL stay. */
  endMessage(): void {
    for (let place: number = places.envfrom; place < NONE.length; place++) {
      if (place !== places.envfrom || (this.#fresh & (1 << place)) === 0) this.#forget(place);
    }
  }

  get(name: string): string | undefined {
    return find(this.#lists, name);
  }

  /** The values as they are now of the names with these indexes. */
  news(wanted: readonly number[]): MacroNews | undefined {
    return wanted.length === 0 ? undefined : new Snapshot(this.#lists, wanted);
  }

  #forget(place: number): void {
    this.#set(place, undefined);
    this.#fresh &= ~(1 << place);
  }

  #set(place: number, list: MacroList | undefined): void {
    if (this.#lists[place] !== list) this.#lists = this.#lists.with(place, list);
  }
}

/** One character may be written with braces or without. */
function bare(name: string): string {
  return name.length === 3 && name.startsWith('{') && name.endsWith('}') ? name.charAt(1) : name;
}

/** The last list that has the name counts. */
function find(lists: Lists, name: string): string | undefined {
  for (let place = lists.length - 1; place >= 0; place--) {
    const value = lists[place]?.get(bare(name));
    if (value !== undefined) return value;
  }
  return undefined;
}

class Snapshot implements MacroNews {
  readonly #lists: Lists;
  readonly #wanted: readonly number[];

  constructor(lists: Lists, wanted: readonly number[]) {
    this.#lists = lists;
    this.#wanted = wanted;
  }

  read(names: readonly string[], values: Map<string, string>): void {
    for (const index of this.#wanted) {
      const name = names[index] ?? '';
      const value = find(this.#lists, name);
      if (value === undefined) values.delete(name);
      else values.set(name, value);
    }
  }
}
