/** How long calls take, alone and with many under way. */

/** What was seen of many calls. */
export interface Figures {
  /** Milliseconds of one call, by the share of calls that are quicker. */
  readonly median: number;
  readonly most: number;
  /** Calls a second. */
  readonly rate: number;
}

/** Makes so many calls, `atOnce` of them under way at a time. */
export async function measure(
  atOnce: number,
  calls: number,
  work: (n: number) => Promise<unknown>,
): Promise<Figures> {
  const times: number[] = [];
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < calls) {
      const began = performance.now();
      await work(next++);
      times.push(performance.now() - began);
    }
  };
  const began = performance.now();
  await Promise.all(Array.from({ length: atOnce }, lane));
  return { ...summary(times), rate: (calls / (performance.now() - began)) * 1_000 };
}

/** Of the milliseconds of many calls. */
export function summary(times: number[]): { readonly median: number; readonly most: number } {
  times.sort((a, b) => a - b);
  const at = (share: number): number => times[Math.floor(share * (times.length - 1))] ?? 0;
  return { median: at(0.5), most: at(0.99) };
}
