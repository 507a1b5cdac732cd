/**
 * Counters, gauges and durations, and the text in which Prometheus reads them.
 */

/** Label values by name. */
export type Labels = Readonly<Record<string, string>>;

/** Where modules count. Names are made of letters, digits and `_`; all get the prefix `milter_`. */
export interface Metrics {
  /** Adds to a counter; its name ends in `_total`. */
  count(name: string, labels?: Labels, by?: number): void;
  /** Sets a gauge. */
  gauge(name: string, value: number, labels?: Labels): void;
  /** Adds one duration, in seconds, to a histogram; its name ends in `_seconds`. */
  observe(name: string, seconds: number, labels?: Labels): void;
}

/** Upper ends of the buckets, in seconds. */
const BUCKETS: readonly number[] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60];

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
    return `${lines.join('\n')}\n`;
  }

  /** The values of one metric, by its labels as they stand in the text format. */
  read(name: string): ReadonlyMap<string, number> {
    const series = this.#families.get(`milter_${name}`)?.series ?? new Map<string, Series>();
    return new Map([...series].map(([labels, { value }]) => [labels, value]));
  }

  #series(kind: Family['kind'], name: string, labels: Labels): Series {
    const full = `milter_${name}`;
    let family = this.#families.get(full);
    if (family === undefined) {
      family = { kind, series: new Map() };
      this.#families.set(full, family);
    }
    let key = toLabels(labels);
    if (!family.series.has(key) && family.series.size >= MAX_SERIES) key = '{other="true"}';
    let series = family.series.get(key);
    if (series === undefined) {
      series = { value: 0, buckets: [] };
      family.series.set(key, series);
    }
    return series;
  }
}

function describe(name: string, kind: Family['kind'], labels: string, series: Series): string[] {
  if (kind !== 'histogram') return [`${name}${labels} ${series.value}`];
  let sum = 0;
  const ends = [...BUCKETS.map(String), '+Inf'];
  const within = ends.map((end, i) => {
    sum += series.buckets[i] ?? 0;
    const more = labels === '' ? `{le="${end}"}` : `${labels.slice(0, -1)},le="${end}"}`;
    return `${name}_bucket${more} ${sum}`;
  });
  return [...within, `${name}_sum${labels} ${series.value}`, `${name}_count${labels} ${sum}`];
}

function toLabels(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escapeValue(value)}"`);
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

function escapeValue(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n').toWellFormed();
}
