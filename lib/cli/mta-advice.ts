/** What to write in the MTA's configuration. */
/** Explains how Postfix and Sendmail are told of a milter that listens at `address`, a libmilter spec. */
export function adviseMta(address: string): string {
  const { postfix, sendmail, note } = specsFor(address);
  return `Postfix, in main.cf:
    smtpd_milters = ${postfix}
    non_smtpd_milters = ${postfix}
    milter_default_action = tempfail
${note}
Sendmail, in sendmail.mc:
    INPUT_MAIL_FILTER(\`milter', \`S=${sendmail}, F=T, T=S:10s;R:10s;E:5m')dnl
`;
}

/** Where Postfix keeps its queue unless told otherwise, and all that it sees from within a chroot. */
const POSTFIX_QUEUE = '/var/spool/postfix/';

const CHROOT = `(A Postfix that runs in a chroot, as Debian's does, finds this path below its queue directory only: listen there.)
`;

/** The same place in the words of each MTA, for MTAs on this machine. */
function specsFor(address: string): { postfix: string; sendmail: string; note: string } {
  const [, six, port = '', host = ''] = /^inet(6?):(\d+)@(.*)$/.exec(address) ?? [];
  if (port === '') {
    const [within, below] = address.split(POSTFIX_QUEUE);
    if (within === 'unix:') return { postfix: `unix:${below}`, sendmail: address, note: '' };
    return { postfix: address, sendmail: address, note: CHROOT };
  }
  const everywhere = host === '0.0.0.0' || host === '::';
  if (six === '6') {
    const near = everywhere ? '::1' : host;
    return { postfix: `inet:[${near}]:${port}`, sendmail: `inet6:${port}@${near}`, note: '' };
  }
  const near = everywhere ? '127.0.0.1' : host;
  return { postfix: `inet:${near}:${port}`, sendmail: `inet:${port}@${near}`, note: '' };
}
