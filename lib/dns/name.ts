/** The rules for domain names that can be put into a query. */

import { wrongArgument } from '../errors.ts';
import { checkValue, text } from '../options.ts';

/** RFC 1035 section 2.3.4: 255 bytes on the wire are 253 characters of text. */
const MAX_NAME = 253;
const MAX_LABEL = 63;

/**
 * The name as it goes into a query: lower case, without the final dot. Undefined if it cannot be asked: no label, an
 * empty one, one longer than 63, more than 253 in all, or anything but printable ASCII and spaces (a macro may make one).
 */
export function queryName(name: string): string | undefined {
  checkValue('queryName: the name', name, text, wrongArgument);
  const end = name.endsWith('.') ? name.length - 1 : name.length;
  if (end === 0 || end > MAX_NAME) return undefined;
  let label = 0;
  for (let i = 0; i < end; i++) {
    const code = name.charCodeAt(i);
    if (code === 0x2e) {
      if (label === 0) return undefined;
      label = 0;
    } else if (code < 0x20 || code > 0x7e || ++label > MAX_LABEL) {
      return undefined;
    }
  }
  if (label === 0) return undefined;
  return (end === name.length ? name : name.slice(0, end)).toLowerCase();
}
