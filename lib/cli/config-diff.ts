/** What is different in two configurations: values in force, not lines of text. */
import { type Config, type ConfiguredValue, configuredValues } from '../filter/index.ts';

/** One value that is not the same; `undefined` where that side has no such module, or no value. */
export interface Difference {
  /** `log.level`; for a module `helo.address`. */
  readonly key: string;
  readonly old: unknown;
  readonly new: unknown;
}

/** All that is different, in the order of the new configuration; what only the old one has comes last. */
export function diffConfigs(old: Config, next: Config): readonly Difference[] {
  const before = new Map(configuredValues(old).map((value) => [fullKey(value), value.value]));
  const after = new Map(configuredValues(next).map((value) => [fullKey(value), value.value]));
  const keys = new Set([...after.keys(), ...before.keys()]);
  const differences = [...keys].flatMap((key) => {
    const difference = { key, old: before.get(key), new: after.get(key) };
    return same(difference.old, difference.new) ? [] : [difference];
  });
  const order = orderDifference(old, next);
  return order === undefined ? differences : [...differences, order];
}

/** The full name of a value. */
function fullKey({ section, key }: ConfiguredValue): string {
  return section === '' ? key : `${section}.${key}`;
}

/** A value as it stands in a file, in one line; `-` for none. */
export function shownValue(value: unknown): string {
  return value === undefined ? '-' : JSON.stringify(value);
}

/** The same modules in another order are another filter. */
function orderDifference(old: Config, next: Config): Difference | undefined {
  const names = ({ modules }: Config): string[] => modules.map(({ name }) => name);
  const common = names(next).filter((name) => names(old).includes(name));
  const before = names(old).filter((name) => common.includes(name));
  return same(before, common) ? undefined : { key: 'order of modules', old: before, new: common };
}

function same(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
