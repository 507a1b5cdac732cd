import { describe, expect, it } from 'vitest';
import { compose, Milter, SMFIF } from '../../lib/index.ts';
import type { WireConnection } from '../../lib/testing/index.ts';
import { ENVELOPE, MESSAGE, PLAYED_STAGES, serving } from '../helpers/server.ts';
import { until } from '../helpers/wait.ts';

/** What Postfix and Sendmail send of their own accord. */
const DEFAULTS = {
  connect: ['j', '_', 'v', '{daemon_name}', '{daemon_addr}', '{if_name}', '{if_addr}'],
  envfrom: [
    'i',
    '{auth_type}',
    '{auth_authen}',
    '{auth_ssf}',
    '{auth_author}',
    '{mail_mailer}',
    '{mail_host}',
    '{mail_addr}',
  ],
  eom: ['i', '{msg_id}'],
};

async function finish(mta: WireConnection): Promise<void> {
  await mta.data();
  await mta.eoh();
  expect((await mta.eom()).verdict).toBe('continue');
}

describe('macros that a class wishes for', () => {
  class Wishing extends Milter {
    static override readonly macros = {
      connect: ['client_addr'],
      envfrom: ['{mail_addr}', 'x'],
      eom: ['{extra}'],
    };
    override eom() {}
  }

  it('are requested with the defaults of that stage, other stages being left alone', async () => {
    await using t = await serving(Wishing);
    const { symlists } = (await t.mta()).negotiated;
    expect(symlists).toEqual({
      connect: [...DEFAULTS.connect, '{client_addr}'],
      envfrom: [...DEFAULTS.envfrom, 'x'],
      eom: [...DEFAULTS.eom, '{extra}'],
    });
  });

  it('are not requested from an MTA that cannot be asked', async () => {
    await using t = await serving(Wishing);
    expect((await t.mta({ actions: 0x1ff & ~SMFIF.SETSYMLIST })).negotiated.symlists).toEqual({});
  });

  it('a class without wishes leaves every stage alone', async () => {
    class Modest extends Milter {
      override eom() {}
    }
    await using t = await serving(Modest);
    expect((await t.mta()).negotiated.symlists).toEqual({});
  });

  it('of several members are joined', async () => {
    class Other extends Milter {
      static override readonly macros = { envrcpt: ['y'], eom: ['z'] };
      override eom() {}
    }
    await using t = await serving(compose(Wishing, Other));
    const { symlists } = (await t.mta()).negotiated;
    expect(symlists.eom).toEqual([...DEFAULTS.eom, '{extra}', 'z']);
    expect(Object.keys(symlists).toSorted()).toEqual(['connect', 'envfrom', 'envrcpt', 'eom']);
  });
});

describe('session.macro()', () => {
  it('takes every spelling of a name', async () => {
    const seen: unknown[] = [];
    class Spelling extends Milter {
      static override readonly macros = { envfrom: ['wish'] };
      override envfrom() {
        for (const name of [
          'i',
          '{i}',
          'auth_authen',
          '{auth_authen}',
          'wish',
          '{wish}',
          'odd',
          '{odd}',
          'none',
          'z',
        ]) {
          seen.push(this.session.macro(name));
        }
        seen.push(this.message.queueId);
      }
    }
    await using t = await serving(Spelling);
    const mta = await t.mta();
    await mta.envfrom('<a@one.test>', [], {
      '{i}': 'Q1',
      '{auth_authen}': 'ann',
      '{wish}': 'w',
      '{odd}': '',
    });
    // A value may be empty, which is not the same as none.
    expect(seen).toEqual(['Q1', 'Q1', 'ann', 'ann', 'w', 'w', '', '', undefined, undefined, 'Q1']);
  });

  it('knows at each stage what came until then', async () => {
    const names = ['j', '{tls_version}', '{mail_addr}', '{rcpt_addr}', '{client_addr}', '{msg_id}', 'i'];
    const seen: Record<string, (string | undefined)[]> = {};
    class Staged extends Milter {
      static override readonly early = ['header', 'eoh', 'body'] as const;
    }
    for (const stage of PLAYED_STAGES) {
      Object.defineProperty(Staged.prototype, stage, {
        value(this: Staged) {
          seen[stage] = names.map((name) => this.session.macro(name));
        },
      });
    }
    await using t = await serving(Staged);
    const mta = await t.mta();
    await mta.connect('one.test', undefined, { j: 'mx', '{client_addr}': '192.0.2.7' });
    await mta.helo('one.test', { '{tls_version}': 'TLSv1.3' });
    await mta.envfrom('<a@one.test>', [], { '{mail_addr}': 'a' });
    await mta.envrcpt('<b@two.test>', [], { '{rcpt_addr}': 'b' });
    await mta.data({ i: 'Q7' });
    await mta.header('A', 'b');
    await mta.eoh();
    await mta.body('x');
    await mta.eom({ '{msg_id}': '<m>', i: 'Q7' });
    const [none, connect, tls, mail, rcpt, data] = [undefined, 'mx', 'TLSv1.3', 'a', 'b', 'Q7'];
    const client = '192.0.2.7';
    const inContent = [connect, tls, mail, rcpt, client, none, data];
    expect(seen).toEqual({
      connect: [connect, none, none, none, client, none, none],
      helo: [connect, tls, none, none, client, none, none],
      envfrom: [connect, tls, mail, none, client, none, none],
      envrcpt: [connect, tls, mail, rcpt, client, none, none],
      data: inContent,
      header: inContent,
      eoh: inContent,
      body: inContent,
      eom: [connect, tls, mail, rcpt, client, '<m>', data],
    });
  });

  it('keeps what came with recorded stages', async () => {
    const seen: unknown[] = [];
    class OnlyEom extends Milter {
      override eom() {
        for (const name of ['j', 'mail_addr', 'rcpt_addr', 'auth_authen', 'i'])
          seen.push(this.session.macro(name));
        seen.push(this.message.queueId);
      }
    }
    await using t = await serving(OnlyEom);
    const mta = await t.mta();
    await mta.connect('one.test', undefined, { j: 'mx' });
    await mta.envfrom('<a@one.test>', [], { '{mail_addr}': 'a', '{auth_authen}': 'ann' });
    await mta.envrcpt('<b@two.test>', [], { '{rcpt_addr}': 'b' });
    await mta.data({ i: 'Q' });
    await mta.eoh();
    await mta.eom();
    expect(seen).toEqual(['mx', 'a', 'b', 'ann', 'Q', 'Q']);
  });

  it('keeps those of the connection over all messages, wished for, well-known or neither', async () => {
    const seen: unknown[] = [];
    class Connected extends Milter {
      static override readonly macros = { envfrom: ['{wish}'] };
      override envfrom() {
        seen.push([this.session.macro('j'), this.session.macro('wish'), this.session.macro('odd')]);
      }
    }
    await using t = await serving(Connected);
    const mta = await t.mta();
    await mta.connect('one.test', undefined, { j: 'mx', '{wish}': 'w', '{odd}': 'o' });
    await mta.helo('one.test');
    for (let i = 0; i < 4; i++) {
      await mta.envfrom('<a@one.test>', [], { i: `Q${i}` });
      await mta.abort();
    }
    expect(seen).toEqual([
      ['mx', 'w', 'o'],
      ['mx', 'w', 'o'],
      ['mx', 'w', 'o'],
      ['mx', 'w', 'o'],
    ]);
  });

  it('tells another name only in a handler: afterwards it is undefined', async () => {
    let session: Milter['session'] | undefined;
    let inside: unknown;
    class Keeping extends Milter {
      override envfrom() {
        session = this.session;
        inside = [this.session.macro('odd'), this.session.macro('auth_authen')];
      }
    }
    await using t = await serving(Keeping);
    const mta = await t.mta();
    await mta.envfrom('<a@one.test>', [], { '{odd}': 'x', '{auth_authen}': 'ann' });
    expect(inside).toEqual(['x', 'ann']);
    expect([session?.macro('odd'), session?.macro('auth_authen')]).toEqual([undefined, 'ann']);
    await mta.abort();
    await mta.quit();
    await t.idle();
    await until('the message to be over', () => session?.macro('auth_authen') === undefined);
  });
});

describe('macros of an earlier message', () => {
  it('are forgotten with it, even where the MTA sends none for the next', async () => {
    const seen: unknown[] = [];
    class Looking extends Milter {
      static override readonly macros = { envfrom: ['{wish}'] };
      override envfrom() {
        const { session } = this;
        seen.push([
          session.macro('i'),
          session.macro('auth_authen'),
          session.macro('wish'),
          session.macro('odd'),
        ]);
      }
      override eom() {
        seen.push([this.session.macro('msg_id'), this.session.macro('odd')]);
      }
    }
    await using t = await serving(Looking);
    const mta = await t.mta();
    const macros = { i: 'Q1', '{auth_authen}': 'ann', '{wish}': 'w', '{odd}': 'o' };
    await mta.envfrom('<a@one.test>', [], macros);
    await mta.envrcpt('<b@two.test>');
    await mta.data();
    await mta.eoh();
    await mta.eom({ '{msg_id}': '<m>' });
    await mta.envfrom('<c@one.test>');
    await mta.envrcpt('<d@two.test>');
    await finish(mta);
    const nothing = [undefined, undefined, undefined, undefined];
    expect(seen).toEqual([['Q1', 'ann', 'w', 'o'], ['<m>', 'o'], nothing, [undefined, undefined]]);
  });

  it('are not shown between the messages', async () => {
    const seen: unknown[] = [];
    class Between extends Milter {
      override eom() {
        seen.push(this.session.macro('i'), this.session.macro('odd'));
      }
      override unknown() {
        seen.push(this.session.macro('i'), this.session.macro('odd'), this.session.macro('j'));
      }
    }
    await using t = await serving(Between);
    const mta = await t.mta();
    await mta.connect('one.test', undefined, { j: 'mx' });
    await mta.envfrom('<a@one.test>', [], { i: 'Q1', '{odd}': 'o' });
    await mta.envrcpt('<b@two.test>');
    await finish(mta);
    await mta.unknown('VRFY');
    expect(seen).toEqual(['Q1', 'o', undefined, undefined, 'mx']);
  });

  it('are told apart from those of the next that look the same', async () => {
    const seen: unknown[] = [];
    class Same extends Milter {
      override envfrom() {
        seen.push([this.session.macro('i'), this.session.macro('auth_authen')]);
      }
      override helo() {}
    }
    await using t = await serving(Same);
    const mta = await t.mta();
    for (let i = 0; i < 4; i++) {
      await mta.helo('again.test');
      await mta.envfrom('<a@one.test>', [], { i: 'QQQQ', '{auth_authen}': 'ann' });
      await mta.abort();
    }
    expect(seen).toEqual(Array.from({ length: 4 }, () => ['QQQQ', 'ann']));
  });
});

describe('macros of a recipient', () => {
  it('are those of this one, not of the one before', async () => {
    const seen: unknown[] = [];
    class Looking extends Milter {
      override envrcpt() {
        seen.push([
          this.session.macro('rcpt_addr'),
          this.session.macro('rcpt_mailer'),
          this.session.macro('i'),
        ]);
      }
    }
    await using t = await serving(Looking);
    const mta = await t.mta();
    await mta.envfrom('<a@one.test>', [], { i: 'Q' });
    await mta.envrcpt('<b@two.test>', [], { '{rcpt_addr}': 'b', '{rcpt_mailer}': 'smtp' });
    await mta.envrcpt('<c@two.test>', [], { '{rcpt_addr}': 'c' });
    await mta.envrcpt('<d@two.test>');
    await mta.envrcpt('<e@two.test>', [], { '{rcpt_addr}': 'c', '{rcpt_mailer}': 'local' });
    await mta.abort();
    expect(seen).toEqual([
      ['b', 'smtp', 'Q'],
      ['c', undefined, 'Q'],
      [undefined, undefined, 'Q'],
      ['c', 'local', 'Q'],
    ]);
  });
});

describe('macros wished for a stage that comes again', () => {
  class Wishing extends Milter {
    static override readonly macros = { helo: ['{verify}'], envrcpt: ['{dsn_notify}'] };
    static seen: (string | undefined)[] = [];
    override helo() {
      Wishing.seen.push(this.session.macro('verify'));
    }
    override envrcpt() {
      Wishing.seen.push(this.session.macro('dsn_notify'), this.session.macro('{undeclared}'));
    }
  }

  it('are forgotten at the next recipient, whether the MTA sends other macros with it or none', async () => {
    Wishing.seen = [];
    const macros = { '{dsn_notify}': 'never', '{undeclared}': 'x' };
    await using t = await serving(Wishing);
    const mta = await t.mta();
    await mta.envfrom('<a@one.test>');
    await mta.envrcpt('<b@two.test>', [], macros);
    await mta.envrcpt('<c@two.test>', [], { '{rcpt_addr}': 'c' });
    await mta.envrcpt('<d@two.test>', [], macros);
    await mta.envrcpt('<e@two.test>');
    await mta.abort();
    expect(Wishing.seen).toEqual(['never', 'x', undefined, undefined, 'never', 'x', undefined, undefined]);
  });

  it('are forgotten at the next HELO, whether the MTA sends other macros with it or none', async () => {
    Wishing.seen = [];
    await using t = await serving(Wishing);
    const mta = await t.mta();
    await mta.connect('one.test');
    await mta.helo('one.test', { '{verify}': 'OK' });
    await mta.helo('one.test', { '{cipher}': 'x' });
    await mta.helo('one.test', { '{verify}': 'OK' });
    await mta.helo('one.test');
    expect(Wishing.seen).toEqual(['OK', undefined, 'OK', undefined]);
  });

  it('show an undeclared one that came with MAIL at every recipient', async () => {
    const seen: unknown[] = [];
    class Late extends Milter {
      override envrcpt() {
        seen.push(this.session.macro('{undeclared}'));
      }
    }
    await using t = await serving(Late);
    const mta = await t.mta();
    for (let message = 0; message < 2; message++) {
      await mta.envfrom('<a@one.test>', [], { '{undeclared}': 'x' });
      await mta.envrcpt('<b@two.test>');
      await mta.envrcpt('<c@two.test>');
      await mta.abort();
    }
    expect(seen).toEqual(['x', 'x', 'x', 'x']);
  });
});

describe('the queue id', () => {
  it('is undefined until the MTA tells it, and stands in the log of a failure', async () => {
    const seen: unknown[] = [];
    class Failing extends Milter {
      override envfrom() {
        seen.push(this.message.queueId);
      }
      override eom(): never {
        seen.push(this.message.queueId);
        throw new Error('broken');
      }
    }
    await using t = await serving(Failing);
    await (await t.mta()).sendMessage(MESSAGE, ENVELOPE);
    await (await t.mta()).sendMessage(MESSAGE, { ...ENVELOPE, macros: { i: '4XyZ' } });
    expect(seen).toEqual([undefined, undefined, '4XyZ', '4XyZ']);
    expect(t.log.map(({ fields }) => fields.queueId)).toEqual([undefined, '4XyZ']);
  });
});

describe('rejected recipients', () => {
  const heard: string[] = [];
  class Nosy extends Milter {
    static override readonly rejectedRecipients = true;
    override envrcpt(recipient: string) {
      heard.push(`nosy ${recipient}`);
    }
    override eom() {
      heard.push(...this.message.recipients.map(({ address }) => `kept ${address}`));
    }
  }
  class Other extends Milter {
    override envrcpt(recipient: string) {
      heard.push(`other ${recipient}`);
    }
  }

  it('reach a class that asked, and are no recipients of the message', async () => {
    heard.length = 0;
    await using t = await serving(Nosy);
    const mta = await t.mta();
    await mta.envfrom('<a@one.test>');
    await mta.envrcpt('<no@two.test>', [], { '{rcpt_mailer}': 'error', '{rcpt_addr}': '5.1.1 unknown' });
    await mta.envrcpt('<yes@two.test>', [], { '{rcpt_mailer}': 'local' });
    await finish(mta);
    expect(heard).toEqual(['nosy <no@two.test>', 'nosy <yes@two.test>', 'kept <yes@two.test>']);
  });

  it('reach only the members that asked', async () => {
    heard.length = 0;
    await using t = await serving(compose(Other, Nosy));
    const mta = await t.mta();
    await mta.envfrom('<a@one.test>');
    await mta.envrcpt('<no@two.test>', [], { '{rcpt_mailer}': 'error' });
    await mta.envrcpt('<yes@two.test>', [], { '{rcpt_mailer}': 'local' });
    await mta.abort();
    expect(heard).toEqual(['nosy <no@two.test>', 'other <yes@two.test>', 'nosy <yes@two.test>']);
  });
});
