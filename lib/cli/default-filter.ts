/** What `milter run` serves when no filter is named. */
import { Milter } from '../index.ts';
import { packageJson } from '../package.ts';

/** Does no harm: it logs a line for each message, and adds a header by which one sees that it works. */
export class DefaultFilter extends Milter {
  // An MTA that does not allow the header shall still get its mail.
  static override readonly onError = 'continue';

  override eom(): void {
    const { client } = this.session;
    const { message } = this;
    const { sender, recipients, headers } = message;
    const headerBytes = [...headers].reduce((sum, { name, raw }) => sum + name.length + raw.length + 3, 0);
    this.log.info(
      {
        client: client.address ?? client.hostname,
        sender,
        recipients: recipients.map(({ address }) => address).join(','),
        // Unknown where the body is larger than what is kept of it.
        size: message.bodyComplete ? headerBytes + 2 + message.body.length : undefined,
      },
      'message',
    );
    message.addHeader('X-Milter', `${packageJson.name} ${packageJson.version}`);
  }
}
