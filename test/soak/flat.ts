/** Whether memory stays where it is: the slope of a line through what was measured. */

/** One look at a process. */
export interface Sample {
  /** Messages so far. */
  readonly messages: number;
  readonly bytes: number;
}

/** The slope of the line with the least squares of distances, in bytes a message. */
export function slopeOf(samples: readonly Sample[]): number {
  const mean = (read: (sample: Sample) => number): number =>
    samples.reduce((sum, sample) => sum + read(sample), 0) / samples.length;
  const [middle, level] = [mean(({ messages }) => messages), mean(({ bytes }) => bytes)];
  const covariance = mean(({ messages, bytes }) => (messages - middle) * (bytes - level));
  return covariance / mean(({ messages }) => (messages - middle) ** 2);
}

/** How memory behaved after warm-up. */
export interface Flatness {
  /** Bytes a message. */
  readonly slope: number;
  /** What the slope may be. */
  readonly bound: number;
}

/** What counts as flat. */
export interface Allowance {
  /** So many messages warm up: what was measured before counts for nothing. */
  readonly warmUp: number;
  /** Bytes that each message may add. */
  readonly perMessage: number;
  /** Bytes that memory may have risen by at the end beside that, because it rises and falls anyway. */
  readonly sway: number;
}

/** Undefined where too little was measured after warm-up. */
export function flatness(
  samples: readonly Sample[],
  { warmUp, perMessage, sway }: Allowance,
): Flatness | undefined {
  const after = samples.filter(({ messages }) => messages >= warmUp);
  const [first, last] = [after.at(0), after.at(-1)];
  if (first === undefined || last === undefined || after.length < 8) return undefined;
  return { slope: slopeOf(after), bound: perMessage + sway / (last.messages - first.messages) };
}

/** In words. */
export function describe({ slope, bound }: Flatness): string {
  return `${slope.toFixed(1)} bytes a message, bound ${bound.toFixed(1)}`;
}

/** The fault, where memory is not flat. */
export function growth(what: string, flat: Flatness | undefined): readonly string[] {
  return flat !== undefined && flat.slope > flat.bound ? [`${what} memory grows: ${describe(flat)}`] : [];
}
