/** Bounds the memory in which V8 makes new objects. */
import { PerformanceObserver } from 'node:perf_hooks';
import v8 from 'node:v8';

/** MiB. V8 would take up to 128, and a filter is no faster with them. */
const ENOUGH = 8;

/**
 * Keeps the space for new objects from growing once it is large enough for mail. V8 has an option for it, which counts only
 * on Node's command line; that by which the space grows counts at any time.
 */
export function boundYoungGeneration(): void {
  const observer = new PerformanceObserver(() => {
    const space = v8.getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space');
    if (space === undefined || space.space_size < ENOUGH * 2 ** 20) return;
    observer.disconnect();
    v8.setFlagsFromString('--semi-space-growth-factor=1');
  });
  observer.observe({ entryTypes: ['gc'] });
}
