/** Addresses as they are compared: one mailbox has one way to be written. */
import { parseAddress } from '../../index.ts';
import { aLabels } from '../config/domains.ts';

/**
 * An address without brackets, its local part after NFC and without case, its domain as A-labels: whoever writes to
 * `Ann@bücher.example` and to `ann@xn--bcher-kva.example` means one.
 */
export function comparableAddress(address: string): string {
  const { address: plain } = parseAddress(address);
  const at = plain.lastIndexOf('@') + 1;
  const local = at === 0 ? plain : plain.slice(0, at);
  return local.normalize('NFC').toLowerCase() + (at === 0 ? '' : aLabels(plain.slice(at)));
}
