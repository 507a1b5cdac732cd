/**
 * Counters, gauges and durations, and the text in which Prometheus reads them.
 */

/** Label values by name. */
export type Labels = Readonly<Record<string, string>>;

/**
 * Where modules count. Names and those of labels are made of small letters, digits and `_`; all metrics get the prefix
 * `milter_`. What cannot be a metric throws a TypeError.
 */
export interface Metrics {
  /** Adds to a counter; its name ends in `_total`. `by` is 0 or more. @default 1 */
  count(name: string, labels?: Labels, by?: number): void;
  /** Sets a gauge. */
  gauge(name: string, value: number, labels?: Labels): void;
  /** Adds one duration, in seconds, to a histogram; its name ends in `_seconds`. */
  observe(name: string, seconds: number, labels?: Labels): void;
}

/** Upper ends of the buckets, in seconds. */
export const BUCKETS: readonly number[] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60];

/** What is known of durations. */
export interface Durations {
  /** How many there were. */
  readonly count: number;
  /** What they come to. */
  readonly seconds: number;
  /** How many were not longer than each of {@link BUCKETS}, but longer than the one before; in the end those beyond. */
  readonly counts: readonly number[];
}

/** A label's value may come from mail; so many different ones are kept of each metric, the rest counts as one. */
const MAX_SERIES = 1_000;

interface Family {
  readonly kind: 'counter' | 'gauge' | 'histogram';
  readonly series: Map<string, Series>;
}

interface Series {
  value: number;
  readonly buckets: number[];
}

/** All metrics of a process. */
export class MetricsRegistry implements Metrics {
  readonly #families = new Map<string, Family>();

  count(name: string, labels: Labels = {}, by = 1): void {
    if (!(by >= 0)) throw new TypeError(`counter ${name} cannot go down by ${by}`);
    this.#series('counter', name, labels).value += by;
  }

  gauge(name: string, value: number, labels: Labels = {}): void {
    this.#series('gauge', name, labels).value = value;
  }

  observe(name: string, seconds: number, labels: Labels = {}): void {
    const series = this.#series('histogram', name, labels);
    series.value += seconds;
    const place = BUCKETS.findIndex((end) => seconds <= end);
    const index = place < 0 ? BUCKETS.length : place;
    series.buckets[index] = (series.buckets[index] ?? 0) + 1;
  }

  /** Everything in Prometheus' text format, version 0.0.4. */
  toText(): string {
    const lines: string[] = [];
    for (const [name, { kind, series }] of this.#families) {
      lines.push(`# TYPE ${name} ${kind}`);
      for (const [labels, one] of series) lines.push(...describe(name, kind, labels, one));
    }
    return lines.map((line) => `${line}\n`).join('');
  }

  /** The values of one metric, by its labels as they stand in the text format. */
  read(name: string): ReadonlyMap<string, number> {
    const series = this.#families.get(`milter_${name}`)?.series ?? new Map<string, Series>();
    return new Map([...series].map(([labels, { value }]) => [labels, value]));
  }

  /** The durations of one histogram, by its labels as they stand in the text format. */
  durations(name: string): ReadonlyMap<string, Durations> {
    const series = this.#families.get(`milter_${name}`)?.series ?? new Map<string, Series>();
    return new Map(
      [...series].map(([labels, { value, buckets }]) => {
        const counts = Array.from({ length: BUCKETS.length + 1 }, (_, i) => buckets[i] ?? 0);
        return [labels, { seconds: value, count: counts.reduce((sum, one) => sum + one, 0), counts }];
      }),
    );
  }

  #series(kind: Family['kind'], name: string, labels: Labels): Series {
    const full = `milter_${name}`;
    const family: Family = this.#families.get(full) ?? { kind, series: new Map() };
    if (family.kind !== kind) throw new TypeError(`metric ${name} is a ${family.kind}, and no ${kind}`);
    let key = toLabels(labels);
    if (!family.series.has(key) && family.series.size >= MAX_SERIES) key = '{other="true"}';
    let series = family.series.get(key);
    if (series === undefined) {
      checkName(kind, name);
      checkLabels(name, labels);
      series = { value: 0, buckets: [] };
      family.series.set(key, series);
      this.#families.set(full, family);
    }
    return series;
  }
}

/** What the name of each ends in; that of a gauge in its unit, or nothing. */
const ENDINGS = { counter: '_total', gauge: '', histogram: '_seconds' } as const;

function checkName(kind: Family['kind'], name: string): void {
  if (!/^[a-z][a-z0-9_]*$/.test(name) || !name.endsWith(ENDINGS[kind])) {
    throw new TypeError(
      `metric ${JSON.stringify(name)}: the name of a ${kind} is made of small letters, digits and _, and ends in "${ENDINGS[kind]}"`,
    );
  }
}

function checkLabels(name: string, labels: Labels): void {
  for (const label of Object.keys(labels)) {
    if (!/^[a-z][a-z0-9_]*$/.test(label) || label === 'le') {
      throw new TypeError(`metric ${name} cannot have a label ${JSON.stringify(label)}`);
    }
  }
}

function describe(name: string, kind: Family['kind'], labels: string, series: Series): string[] {
  if (kind !== 'histogram') return [`${name}${labels} ${toNumber(series.value)}`];
  let sum = 0;
  const ends = [...BUCKETS.map(String), '+Inf'];
  const within = ends.map((end, i) => {
    sum += series.buckets[i] ?? 0;
    const more = labels === '' ? `{le="${end}"}` : `${labels.slice(0, -1)},le="${end}"}`;
    return `${name}_bucket${more} ${sum}`;
  });
  return [...within, `${name}_sum${labels} ${toNumber(series.value)}`, `${name}_count${labels} ${sum}`];
}

function toNumber(value: number): string {
  return Number.isFinite(value) || Number.isNaN(value) ? String(value) : value > 0 ? '+Inf' : '-Inf';
}

function toLabels(labels: Labels): string {
  let pairs = '';
  for (const name in labels)
    pairs += `${pairs === '' ? '' : ','}${name}="${escapeValue(labels[name] ?? '')}"`;
  return pairs === '' ? '' : `{${pairs}}`;
}

function escapeValue(value: string): string {
  if (/^[\w.:@-]*$/.test(value)) return value;
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n').toWellFormed();
}
