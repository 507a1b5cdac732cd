import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Client, Milter, type MilterClass } from '../../lib/index.ts';
import { type FilteredMta, MTAS, startFiltered } from '../helpers/filtered.ts';
import { type Postfix, startPostfix } from '../helpers/postfix.ts';
import { describeWith } from '../helpers/requirements.ts';
import { SmtpClient } from '../helpers/smtp.ts';

const CLIENT_MACROS = ['{client_addr}', '{client_name}', '{client_port}', '{client_ptr}', '{client_resolve}'];

/** Every name that one of the MTAs could send. */
const NAMES = [
  ...[
    'i',
    'j',
    '_',
    'r',
    's',
    'v',
    '{daemon_name}',
    '{daemon_addr}',
    '{daemon_port}',
    '{if_name}',
    '{if_addr}',
  ],
  ...[...CLIENT_MACROS, '{client_connections}', '{tls_version}', '{cipher}', '{cipher_bits}', '{verify}'],
  ...['{cert_subject}', '{cert_issuer}', '{auth_type}', '{auth_authen}', '{auth_ssf}', '{auth_author}'],
  ...['{mail_mailer}', '{mail_host}', '{mail_addr}', '{rcpt_mailer}', '{rcpt_host}', '{rcpt_addr}'],
  ...['{msg_id}', '{nrcpts}', '{nbadrcpts}', '{ntries}'],
];

type Place = 'connect' | 'helo' | 'envfrom' | 'first envrcpt' | 'second envrcpt' | 'data' | 'eoh' | 'eom';

/** The macros that can be read for the first time at each stage, without TLS and without a login. */
type Arrivals = Readonly<Record<Place, readonly string[]>>;

const OF_SENDER = ['{mail_mailer}', '{mail_host}', '{mail_addr}'];
const OF_RECIPIENT = ['{rcpt_mailer}', '{rcpt_host}', '{rcpt_addr}'];
const NOTHING_MORE = { helo: [], data: [], eoh: [], eom: [] };

const ARRIVALS: Readonly<Record<'postfix' | 'postfix, submitted locally' | 'sendmail', Arrivals>> = {
  postfix: {
    ...NOTHING_MORE,
    connect: ['j', '_', 'v', '{daemon_name}', '{daemon_addr}'],
    envfrom: OF_SENDER,
    // It makes the queue file when a recipient is accepted.
    'first envrcpt': OF_RECIPIENT,
    'second envrcpt': ['i'],
  },
  // By its sendmail command, with non_smtpd_milters.
  'postfix, submitted locally': {
    ...NOTHING_MORE,
    connect: ['j', '_', 'v', '{daemon_name}', '{daemon_addr}'],
    envfrom: ['i', '{mail_addr}'],
    'first envrcpt': ['{rcpt_addr}'],
    'second envrcpt': [],
  },
  sendmail: {
    ...NOTHING_MORE,
    // And {if_addr}, but for loopback.
    connect: ['j', '_', '{daemon_name}', '{if_name}'],
    envfrom: ['i', ...OF_SENDER],
    'first envrcpt': OF_RECIPIENT,
    'second envrcpt': [],
    eom: ['{msg_id}'],
  },
};

/** A filter that takes note of which macros it can read at each stage for the first time. */
function noting(arrivals: { [At in Place]?: string[] }): MilterClass {
  return class extends Milter {
    static override readonly early = ['eoh'] as const;
    readonly #known = new Set<string>();

    #note(place: Place): void {
      const fresh = NAMES.filter((name) => !this.#known.has(name) && this.session.macro(name) !== undefined);
      for (const name of fresh) this.#known.add(name);
      arrivals[place] = fresh;
    }
    override connect(): void {
      this.#note('connect');
    }
    override helo(): void {
      this.#note('helo');
    }
    override envfrom(): void {
      this.#note('envfrom');
    }
    override envrcpt(): void {
      this.#note(this.message.recipients.length === 0 ? 'first envrcpt' : 'second envrcpt');
    }
    override data(): void {
      this.#note('data');
    }
    override eoh(): void {
      this.#note('eoh');
    }
    override eom(): void {
      this.#note('eom');
    }
  };
}

for (const [name, start] of MTAS) {
  describeWith([name], `the macros of ${name}`, () => {
    let t: FilteredMta;
    beforeAll(async () => {
      t = await startFiltered(start);
    });
    afterAll(() => t[Symbol.asyncDispose]());
    const recipients = ['bob@test.invalid', 'eve@test.invalid'];

    it('arrive at these stages', async () => {
      const arrivals: { [At in Place]?: string[] } = {};
      t.use(noting(arrivals));
      await t.send({ recipients });
      expect(arrivals).toEqual(sorted(ARRIVALS[name]));
    });

    it('come in greater number where a filter wishes for more, the usual ones included', async () => {
      const arrivals: { [At in Place]?: string[] } = {};
      class Wishing extends noting(arrivals) {
        static override readonly macros = {
          connect: CLIENT_MACROS,
          helo: ['{client_connections}'],
          envfrom: ['{client_addr}'],
          envrcpt: ['{client_addr}'],
          data: ['{client_addr}'],
          eoh: ['{client_addr}'],
          eom: ['{client_addr}'],
        };
      }
      t.use(Wishing);
      await t.send({ recipients });
      const usual = ARRIVALS[name];
      // Asked for with the rest of Postfix's usual ones, Sendmail sends these as well.
      const andMore = name === 'sendmail' ? ['v', '{daemon_addr}'] : [];
      expect(arrivals).toEqual(
        sorted({
          ...usual,
          connect: [...usual.connect, ...andMore, ...CLIENT_MACROS],
          helo: ['{client_connections}'],
        }),
      );
    });

    it('are those of the message at hand', async () => {
      const seen: unknown[] = [];
      t.use(
        class extends Milter {
          override envrcpt(recipient: string): void {
            const { session, message } = this;
            seen.push([
              session.macro('mail_addr') === message.sender.slice(1, -1),
              recipient.slice(1).startsWith(session.macro('{rcpt_addr}') ?? 'none'),
            ]);
          }
          override eom(): void {
            seen.push(this.message.queueId);
          }
        },
      );
      await using client = await SmtpClient.open(t.mta.port);
      for (const sender of ['one@one.test', 'two@one.test']) {
        await client.send({ sender, recipients, message: 'Subject: x\r\n\r\nx\r\n' });
      }
      const right = [true, true];
      expect(seen).toEqual([right, right, expect.any(String), right, right, expect.any(String)]);
      expect(seen[2]).not.toBe(seen[5]);
    });
  });
}

describeWith(['postfix'], 'a filter under postfix', () => {
  let t: FilteredMta<Postfix>;
  beforeAll(async () => {
    t = await startFiltered((milter) => startPostfix({ milters: [milter] }));
  });
  afterAll(() => t[Symbol.asyncDispose]());

  it('gets these macros of what is submitted locally', async () => {
    const arrivals: { [At in Place]?: string[] } = {};
    t.use(noting(arrivals));
    await t.mta.submit('ann@test.invalid', ['bob@test.invalid', 'eve@test.invalid'], 'Subject: local\n\nx\n');
    await t.mta.settled();
    expect(arrivals).toEqual(sorted(ARRIVALS['postfix, submitted locally']));
  });

  it('knows the client for which another server stands in, and its login', async () => {
    const clients: Client[] = [];
    let login: unknown;
    t.use(
      class extends Milter {
        override connect(client: Client): void {
          clients.push(client);
        }
        override envfrom(): void {
          login = [this.session.macro('auth_authen'), this.session.helo];
        }
      },
    );
    await using client = await SmtpClient.open(t.mta.port);
    await client.command('XCLIENT NAME=client.one.test ADDR=192.0.2.7 PORT=4711 LOGIN=ann');
    await client.command('EHLO other.one.test');
    await client.command('MAIL FROM:<ann@one.test>');
    expect(clients).toMatchObject([
      { family: 'inet', address: '127.0.0.1' },
      { family: 'inet', address: '192.0.2.7', hostname: 'client.one.test', port: 4711 },
    ]);
    expect(login).toEqual(['ann', 'other.one.test']);
  });
});

/** In the order of NAMES. */
function sorted(arrivals: Arrivals): Readonly<Record<string, readonly string[]>> {
  return Object.fromEntries(
    Object.entries(arrivals).map(([place, names]) => [place, NAMES.filter((name) => names.includes(name))]),
  );
}
