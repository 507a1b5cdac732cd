/** Tells the log where there is no room for all connections: those that find none are seen nowhere else. */
import { readFileSync } from 'node:fs';
import type { EngineServer } from '../engine/engine.ts';
import type { Logger } from '../logger.ts';

/** How often it is looked, in milliseconds. */
const LOOK_EVERY = 1_000;
/** Descriptors that a process needs besides those of its connections. */
const OTHER_DESCRIPTORS = 64;

/** Warns when connections are told to come again since all are taken, and says when that is over, as long as the engine runs. */
export function watchRoom(engine: EngineServer, logger: Logger): void {
  const { maxConnections } = engine;
  const most = descriptorLimit();
  if (most < maxConnections + OTHER_DESCRIPTORS) {
    logger.warn(
      { maxConnections, descriptors: most },
      `${most} descriptors (ulimit -n) are too few for ${maxConnections} connections: those beyond are dropped`,
    );
  }
  let isFull = false;
  const timer = setInterval(() => {
    // Those that are refused count as well, until they hang up.
    const { created, freed } = engine.stats().sessions;
    if (created - freed > maxConnections === isFull) return;
    isFull = !isFull;
    if (isFull) {
      logger.warn(
        { maxConnections },
        `all ${maxConnections} connections (maxConnections) are taken: others are told to come again`,
      );
    } else logger.info({ maxConnections }, 'there is room for connections again');
  }, LOOK_EVERY).unref();
  void engine.closed.then(() => clearInterval(timer));
}

/** How many this process may have, where the system says so. */
function descriptorLimit(): number {
  try {
    const limits = readFileSync('/proc/self/limits', 'utf8');
    return Number(/^Max open files +(\d+)/m.exec(limits)?.[1] ?? Number.POSITIVE_INFINITY);
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}
