// Adds a header to every message.
//     milter run examples/add-header.ts --socket inet:8894@127.0.0.1
import { Milter } from 'libmilter';

export default class AddHeader extends Milter {
  override eom(): void {
    const { client, helo } = this.session;
    this.message.addHeader('X-Seen-By', `${helo} (${client.address ?? client.hostname})`);
  }
}
