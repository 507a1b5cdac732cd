/**
 * A filter in a process of its own, for tests that kill it: `fork()` it with a socket spec, and it sends a message
 * when it listens. It stamps every mail with its process id, and closes in good order on SIGTERM.
 */
import { Milter, serve } from '../../lib/index.ts';

class Stamping extends Milter {
  override async envfrom(): Promise<void> {
    await turn();
  }
  override async eom(): Promise<void> {
    await turn();
    this.message.addHeader('X-Stamp', String(process.pid));
  }
}

/** Lets others run, so that several messages are under way at once. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

const [socket = ''] = process.argv.slice(2);
const server = await serve(Stamping, { socket, socketMode: 0o666 });
process.once('SIGTERM', () => server.close());
process.send?.('listening', () => process.disconnect());
