// Asks SPF whether the client may send mail from this sender: refuses what the sender's domain forbids, and writes the
// result above all headers. For mail from outside: in Postfix it belongs into smtpd_milters, not non_smtpd_milters.
import { Milter, reject, safeText, tempfail } from 'libmilter';
import type { Resolver } from 'libmilter/dns';
import { checkHost, receivedSpf } from 'libmilter/spf';

export default class Spf extends Milter {
  /** Undefined asks the system's name servers; a test puts its own in place. */
  protected readonly resolver: Resolver | undefined;

  override async envfrom(sender: string) {
    const { client, helo } = this.session;
    if (this.session.macro('auth_authen') !== undefined) return 'continue'; // Our own users may be anywhere.
    const mail = {
      ip: client.family === 'unix' ? undefined : client.address,
      sender,
      helo,
      receiver: this.session.macro('j'),
      resolver: this.resolver,
      signal: this.message.signal,
      timeout: 7_000, // A handler here has 8 s before it is answered for, and an MTA waits 10 s or more.
      defaultExplanation: 'this client may not send its mail',
    };
    const check = await checkHost(mail);
    const { result, domain, explanation } = check;
    if (result === 'fail') return reject(550, '5.7.23', safeText(`SPF: ${domain} says: ${explanation}`));
    if (result === 'temperror')
      return tempfail(451, '4.4.3', safeText(`SPF: no answer from DNS for ${domain}`));
    this.message.insertHeader(0, 'Received-SPF', receivedSpf(check, mail));
    return 'continue';
  }
}
