/** Says at once what an old Node.js could only say with an error that helps nobody. */
import { MilterError } from './errors.ts';

/**
 * Called where the package is entered.
 * @throws MilterError `ERR_MILTER_UNSUPPORTED` before Node.js 22.19
 */
export function checkNode(version: string = process.versions.node): void {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major > 22 || (major === 22 && minor >= 19)) return;
  throw new MilterError(
    'ERR_MILTER_UNSUPPORTED',
    `libmilter needs Node.js 22.19 or later, this is ${version}: install a newer one (https://nodejs.org)`,
  );
}
