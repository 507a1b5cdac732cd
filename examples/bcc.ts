// Sends a copy of everything that one sender writes to an archive. An action may be asked for at any stage from envfrom
// on; it takes effect at the end of the message.
import { Milter, parseAddress } from 'libmilter';

export default class Bcc extends Milter {
  override envfrom(sender: string): void {
    const { address } = parseAddress(sender);
    if (address.toLowerCase() === 'boss@example.com') this.message.addRcpt('archive@example.com');
  }
}
