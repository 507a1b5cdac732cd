/**
 * A sliding window as it is kept: amounts in slices of time. The oldest slice counts whole as long as any of it is inside,
 * so that the limit is never exceeded, and a window holds a few dozen numbers however much goes through it.
 */

import type { Admission, WindowLimit } from './store.ts';

/** How finely a window slides. */
export const SLICES = 60;

/** Amounts by the number of their slice. */
export type Window = readonly (readonly [slice: number, amount: number])[];

/** Which slice a moment belongs to. */
export function sliceAt(now: number, per: number): number {
  return Math.floor(now / sliceLength(per));
}

/** How long one slice is, in milliseconds. */
export function sliceLength(per: number): number {
  return Math.max(1, per / SLICES);
}

/** The slices that still count. */
function inWindow(window: Window, now: number, per: number): Window {
  const oldest = sliceAt(now, per) - SLICES;
  return window.filter(([slice]) => slice >= oldest);
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

/** Adds to the slice of now; a negative amount takes out, never below nothing. */
export function addTo(window: Window, amount: number, now: number, per: number): Window {
  const slice = sliceAt(now, per);
  const kept = inWindow(window, now, per);
  if (amount < 0) return takeOut(kept, -amount);
  const last = kept.at(-1);
  if (last !== undefined && last[0] === slice) return [...kept.slice(0, -1), [slice, last[1] + amount]];
  return [...kept, [slice, amount]];
}

/** Milliseconds until `amount` more fits under `most`. */
function waitFor(window: Window, amount: number, most: number, now: number, per: number): number {
  let over = total(window) + amount - most;
  for (const [slice, held] of window) {
    over -= held;
    if (over <= 0) return Math.max(1, Math.ceil((slice + SLICES + 1) * sliceLength(per) - now));
  }
  return per;
}

/** From the newest slice backwards: what is given back was added a moment ago. */
function takeOut(window: Window, amount: number): Window {
  let left = amount;
  const kept = window.toReversed().map(([slice, held]): readonly [number, number] => {
    const taken = Math.min(held, left);
    left -= taken;
    return [slice, held - taken];
  });
  return kept.filter(([, held]) => held > 0).toReversed();
}
