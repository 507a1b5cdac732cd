/**
 * A sliding window as it is kept: amounts with the time at which they were added, those of one slice of time together with
 * the time of the last. So the limit is never exceeded, and a window holds a few dozen numbers however much goes through it.
 */

import type { Admission, WindowLimit } from './store.ts';

/** Into how many slices a window is cut where much goes through it. */
const SLICES = 60;

/** Amounts by the time of the last that was added to them, in milliseconds since 1970; the oldest first. */
export type Window = readonly (readonly [time: number, amount: number])[];

/** When the slice began that a moment belongs to. */
export function sliceStart(now: number, per: number): number {
  const length = Math.max(1, per / SLICES);
  return Math.floor(now / length) * length;
}

/** What still counts. Another machine's clock may be ahead, but not by a whole window: then it was set back. */
function inWindow(window: Window, now: number, per: number): Window {
  return window.filter(([time]) => time > now - per && time < now + per);
}

/** Whether what the limits say can be added, given the windows that stand now. */
export function admission(
  limits: readonly WindowLimit[],
  windows: readonly Window[],
  now: number,
): Admission {
  for (const [index, { add, most, per }] of limits.entries()) {
    const window = inWindow(windows[index] ?? [], now, per);
    if (total(window) + add > most) {
      return { admitted: false, index, wait: waitFor(window, add, most, now, per) };
    }
  }
  return { admitted: true };
}

/** What the window holds. */
function total(window: Window): number {
  return window.reduce((sum, [, amount]) => sum + amount, 0);
}

/** Adds to what came in this slice of time; a negative amount takes out, never below nothing. */
export function addTo(window: Window, amount: number, now: number, per: number): Window {
  const kept = inWindow(window, now, per);
  if (amount < 0) return takeOut(kept, -amount);
  const last = kept.at(-1);
  if (last === undefined || last[0] < sliceStart(now, per)) return [...kept, [now, amount]];
  // Another machine's clock may be ahead.
  return [...kept.slice(0, -1), [Math.max(now, last[0]), last[1] + amount]];
}

/** Milliseconds until `amount` more fits under `most`. */
function waitFor(window: Window, amount: number, most: number, now: number, per: number): number {
  let over = total(window) + amount - most;
  for (const [time, held] of window) {
    over -= held;
    if (over <= 0) return Math.max(1, Math.ceil(time + per - now));
  }
  return per;
}

/** From the newest backwards: what is given back was added a moment ago. */
function takeOut(window: Window, amount: number): Window {
  let left = amount;
  const kept = window.toReversed().map(([time, held]): readonly [number, number] => {
    const taken = Math.min(held, left);
    left -= taken;
    return [time, held - taken];
  });
  return kept.filter(([, held]) => held > 0).toReversed();
}
