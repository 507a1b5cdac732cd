/** What becomes of every option of an old milter.cfg. */
import { describe, expect, it } from 'vitest';
import { Draft } from '../../../lib/cli/draft.ts';
import { carryOver, parseOldConfig } from '../../../lib/cli/old-config.ts';

function carried(text: string, has = (_: string): boolean => true) {
  const draft = new Draft();
  const lost = carryOver(parseOldConfig(text), draft, '/etc/mail/milter.cfg', has);
  const modules = Object.fromEntries(
    [...draft.modules].map(([name, table]) => [name, Object.fromEntries(table)]),
  );
  return { lost, modules, top: Object.fromEntries(draft.top), log: Object.fromEntries(draft.table('log')) };
}

const SEED = `# A comment
[milter]
socket=/var/run/milter/pythonsock
tempdir = /var/log/milter/save
timeout=600
log_headers = 1
internal_connect = 192.168.*.*,127.*.*.*, 10.0.0.1
internal_domains = mycorp.com,*.mycorp.com
trusted_relay = 1.2.3.4, *.relay.example
hello_blacklist = mycorp.com, 66.12.34.56
check_user = joe@mycorp.com, mary@mycorp.com,
   ann@other.example
[defang]
scan_rfc822 = 1
scan_zip = 0
scan_html = 0
block_chinese = 1
block_forward = egghead@mycorp.com
porn_words = penis, pussy
spam_words = $$$, !!!
banned_exts = exe,.scr
[srs]
secret = shhhh
[spf]
delegate = mycorp.com
reject_neutral = aol.com
best_guess = yes
reject_noptr = no
accept_softfail = bounces.amazon.com
[scrub]
hide_path = jcompany.com, *.jcompany.com
reject_virus_from = virus.example
[wiretap]
blind = 0
users = disloyal@bigcorp.com, ny@bigcorp.com
dest = spy@bigcorp.com
discard = nobody@x.example
smart_alias = copycust,walter
copycust = cust@othercorp.com,walter@bigcorp.com,boss@bigcorp.com
walter = @mycorp.com,walter@bigcorp.com
[dspam]
dspam_userdir = /var/lib/dspam ; a comment
`;

describe('an old configuration', () => {
  it('has each option carried over that has a counterpart', () => {
    const { modules, top, log } = carried(SEED);
    expect(top).toEqual({ socket: 'unix:/var/run/milter/pythonsock', timeout: '600s' });
    expect(log).toEqual({ headers: true });
    expect(modules).toEqual({
      networks: {
        internal: ['192.168.0.0/16', '127.0.0.0/8', '10.0.0.1'],
        domains: ['mycorp.com', '*@*.mycorp.com'],
        relays: ['1.2.3.4', '*.relay.example'],
      },
      helo: { block: ['mycorp.com', '66.12.34.56'] },
      recipients: {
        users: ['joe@mycorp.com', 'mary@mycorp.com', 'ann@other.example'],
        complete: ['mycorp.com', 'other.example'],
        no_forwards: ['egghead@mycorp.com'],
        alias: [
          { from: 'cust@othercorp.com', to: 'walter@bigcorp.com', send: ['boss@bigcorp.com'] },
          { from: 'mycorp.com', to: 'walter@bigcorp.com', send: ['walter'] },
        ],
      },
      attachments: {
        save: '/var/log/milter/save',
        attached_messages: true,
        archives: false,
        extensions: ['exe', 'scr'],
        senders_rejected: ['virus.example'],
      },
      html: { scripts: 'continue' },
      headers: {
        charsets: ['gb2312', 'gbk', 'gb18030', 'big5'],
        subject_words: ['penis', 'pussy', '$$$', '!!!'],
        words_action: 'reject',
        strip_received: ['jcompany.com', '*@*.jcompany.com'],
      },
      spf: {
        delegate: 'mycorp.com',
        reject_neutral: ['aol.com'],
        best_guess: true,
        reject_noptr: false,
        accept_softfail: ['bounces.amazon.com'],
      },
      copies: {
        copy: [{ of: 'all', from: ['disloyal@bigcorp.com', 'ny@bigcorp.com'], cc: 'spy@bigcorp.com' }],
      },
    });
  });

  it('has what could not be carried over listed, with the reason', () => {
    expect(carried(SEED).lost).toEqual([
      '[srs] secret: can be guessed; make one of 8 characters or more',
      '[wiretap] discard: put into an access map: From:ADDRESS DISCARD',
      '[dspam] dspam_userdir: belongs to module bayes, which is not there yet',
    ]);
    expect(
      carried(
        '[milter]\ntempdir=/x\nfoo = 1\ninternal_domains=file:/nonexistent/list',
        (name) => name !== 'attachments',
      ).lost,
    ).toEqual([
      '[milter] tempdir: belongs to module attachments, which is not there yet',
      '[milter] foo: has no counterpart',
      '[milter] internal_domains: there is no file /nonexistent/list',
    ]);
  });

  it('has return addresses signed as before', () => {
    const { modules, lost } = carried(
      `[srs]\nsecret = long enough\nfwdomain = mail.example.com\nmaxage = 8\nhashlength = 8\nseparator = +\nses = example.com, example.net\nreject_spoofed = yes\nconfig=/etc/mail/pysrs.cfg\ndatabase = x\n`,
    );
    expect(modules).toMatchObject({
      srs: {
        secrets: 'long enough',
        domain: 'mail.example.com',
        max_age: '8d',
        hash_length: 8,
        separator: '+',
      },
      bounces: { sign: 'ses', domains: ['example.com', 'example.net'], unsigned: 'reject' },
    });
    expect(lost).toEqual([
      '[srs] config: is a file of its own: put what is in it into module srs',
      '[srs] database: has no counterpart',
    ]);
    expect(carried('[srs]\nfwdomain = mail.example.com\nsign = example.com').lost).toEqual([
      '[srs] fwdomain: needs a secret',
      '[srs] sign: needs a secret',
    ]);
  });

  it('without [defang] bans what the seed banned', () => {
    expect(carried('[milter]\nsocket = inet:8894@localhost\n')).toMatchObject({
      top: { socket: 'inet:8894@localhost' },
      modules: { attachments: { extensions: 'seed' } },
    });
  });
});
