/** Bounds the memory that V8 takes for JavaScript. */
import { PerformanceObserver } from 'node:perf_hooks';
import v8 from 'node:v8';

/** Bytes for new objects. V8 would take 128 MiB, with which a filter is no faster. */
const ENOUGH = 8 * 2 ** 20;

/**
 * Has V8 collect garbage before it asks the system for much more: mail is garbage soon, and memory once taken is seldom given
 * back. V8's options for the sizes themselves count on Node's command line alone; these count at any time.
 */
export function boundHeap(): void {
  // In percent of what V8 would let old objects grow by.
  v8.setFlagsFromString('--incremental-marking-soft-trigger=10');
  v8.setFlagsFromString('--incremental-marking-hard-trigger=25');
  // While modules are loaded it would grow by what lives longer than any mail.
  v8.setFlagsFromString('--semi-space-growth-factor=1');
  let mayGrow = false;
  const observer = new PerformanceObserver(() => {
    const space = v8.getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space');
    // V8 takes from it where little is to do: then it may grow again.
    const isSmall = space !== undefined && space.space_size < ENOUGH;
    if (isSmall === mayGrow) return;
    mayGrow = isSmall;
    v8.setFlagsFromString(`--semi-space-growth-factor=${mayGrow ? 2 : 1}`);
  });
  observer.observe({ entryTypes: ['gc'] });
}
