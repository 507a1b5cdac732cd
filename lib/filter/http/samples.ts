/** How the counters went, a sample every few minutes: for the status page, which shows the last day. */
import type { MetricsRegistry } from '../watch/metrics.ts';

/** Counters at one moment. */
export interface Sample {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly verdicts: ReadonlyMap<string, number>;
  readonly findings: ReadonlyMap<string, number>;
}

const EVERY = 5 * 60_000;
const DAY = 24 * 60 * 60_000;

/** The samples of one day. */
export class Samples {
  readonly #metrics: MetricsRegistry;
  readonly #now: () => number;
  readonly #samples: Sample[] = [];
  readonly #timer: NodeJS.Timeout;
  /** Since when is counted. */
  readonly began: number;

  constructor(metrics: MetricsRegistry, now: () => number) {
    this.#metrics = metrics;
    this.#now = now;
    this.began = now();
    this.#take();
    this.#timer = setInterval(() => this.#take(), EVERY).unref();
  }

  /** Those of the last day, the oldest first, and one of now. */
  day(): readonly Sample[] {
    return [...this.#samples, this.#sample()];
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #take(): void {
    const sample = this.#sample();
    this.#samples.push(sample);
    while ((this.#samples[0]?.at ?? sample.at) < sample.at - DAY - EVERY) this.#samples.shift();
  }

  #sample(): Sample {
    return {
      at: this.#now(),
      verdicts: this.#metrics.read('verdicts_total'),
      findings: this.#metrics.read('findings_total'),
    };
  }
}
