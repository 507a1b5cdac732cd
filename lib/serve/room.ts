/** Tells the log where there is no room for all connections: those that find none are seen nowhere else. */
import { closeSync, openSync, readFileSync } from 'node:fs';
import type { EngineServer } from '../engine/engine.ts';
import type { Logger } from '../logger.ts';

/** How often it is looked, in milliseconds. */
const LOOK_EVERY = 1_000;
/** What was short is there again when so many looks in a row have found some: connections come and go. */
const LOOKS_WITHOUT = 3;
/** Descriptors that a process needs besides those of its connections. */
const OTHER_DESCRIPTORS = 64;

/**
 * Warns when connections are told to come again since all are taken, or are dropped since there is no descriptor for them, and
 * says when that is over, as long as the engine runs.
 */
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
  let isBare = false;
  let looksWithout = 0;
  const lookForConnections = (): void => {
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
  };
  // libmilter and Node.js drop who comes without telling anybody. What is over before it is looked is not seen.
  const lookForDescriptors = (): void => {
    const missing = missingDescriptor();
    looksWithout = missing === undefined ? looksWithout + 1 : 0;
    if (missing !== undefined && !isBare) {
      isBare = true;
      logger.warn(
        {},
        `${missing}: connections are dropped, and what needs a file fails, until some are closed; raise the limit`,
      );
    } else if (isBare && looksWithout === LOOKS_WITHOUT) {
      isBare = false;
      logger.info({}, 'there are descriptors again');
    }
  };
  const timer = setInterval(() => {
    lookForConnections();
    lookForDescriptors();
  }, LOOK_EVERY).unref();
  void engine.closed.then(() => clearInterval(timer));
}

/** Which limit leaves no descriptor now; undefined where there is one. */
function missingDescriptor(): string | undefined {
  try {
    closeSync(openSync('/', 'r'));
    return undefined;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EMFILE') return 'no descriptor is left (ulimit -n)';
    return code === 'ENFILE' ? 'the system has no descriptor left (fs.file-max)' : undefined;
  }
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
