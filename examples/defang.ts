// Replaces attachments that Windows would run by a WARNING.TXT and takes scripts out of HTML. Every other byte stays as it
// was, and a message in which nothing is found is not touched: signatures on it remain valid.
import { Milter } from 'libmilter';
import { bannedExtensions, defang, modernBannedExtensions } from 'libmilter/mime';

const extensions = [...bannedExtensions, ...modernBannedExtensions];

export default class Defang extends Milter {
  override async eom() {
    // Of a body larger than maxBody this throws, and the sender is told to try again later.
    const message = await this.message.mime();
    const { modified, removed } = await defang(message, { extensions });
    // Who hides a program in more parts than anybody reads is not let through.
    if (message.problems.some(({ kind }) => kind === 'limit')) return 'reject';
    if (modified) {
      const names = removed.map(({ names }) => JSON.stringify(names[0] ?? 'nameless'));
      message.root.headers.add('X-Defanged', names.join(', ') || 'scripts');
    }
    return 'continue';
  }
}
