import { describe, expect, it } from 'vitest';
import { compose, type Message, Milter, type MilterClass, reject, SMFIF, SMFIP } from '../../lib/index.ts';
import type { MimeMessage } from '../../lib/mime/index.ts';
import type { ConnectOptions, MessageResult } from '../../lib/testing/index.ts';
import { ENVELOPE, gate, type LogLine, serving } from '../helpers/server.ts';
import { until } from '../helpers/wait.ts';

const MAIL = [
  'Subject: as sent',
  'X-Old: one',
  'X-Old: two',
  'X-Old:  three\r\n\tfolded',
  'Content-Type: multipart/mixed; boundary=b',
  '',
  '--b',
  '',
  'first part',
  '--b',
  'Content-Type: application/octet-stream; name="game.exe"',
  'Content-Transfer-Encoding: base64',
  '',
  'TVqQ',
  '--b--',
  '',
].join('\r\n');

type Word = 'continue' | 'accept' | 'reject' | 'discard' | 'tempfail';

/** A member that does this in eom. */
function atEom(act: (filter: Milter) => unknown, answer?: Word): typeof Milter {
  return class AtEom extends Milter {
    override async eom() {
      await act(this);
      return answer;
    }
  };
}

/** A member that edits the tree in eom. */
function editing(edit: (tree: MimeMessage, message: Message) => unknown, answer?: Word): typeof Milter {
  return atEom(async ({ message }) => await edit(await message.mime(), message), answer);
}

const failing = (edit: (tree: MimeMessage, message: Message) => unknown): typeof Milter =>
  class Failing extends editing(async (tree, message) => {
    await edit(tree, message);
    throw new Error('on purpose');
  }) {
    static override readonly onError = 'continue';
  };

const observed = (filter: typeof Milter): typeof Milter =>
  class Observed extends filter {
    static override readonly observe = true;
  };

const prepend = (text: string) => (tree: MimeMessage) => {
  const part = tree.root.children[0];
  part?.replaceContent(`${text} ${part.text()}`);
};

interface Outcome {
  readonly result: MessageResult;
  readonly log: readonly LogLine[];
}

async function play(members: readonly MilterClass[], mtaOptions: ConnectOptions = {}): Promise<Outcome> {
  await using t = await serving(compose(...members));
  const mta = await t.mta(mtaOptions);
  return { result: await mta.sendMessage(MAIL, ENVELOPE), log: t.log };
}

/** What a member at the end lists, and what is then delivered. */
async function listed(...members: readonly MilterClass[]): Promise<Outcome & { readonly listed: string }> {
  let seen = '';
  const lister = editing((tree) => {
    seen = tree.toBytes().toString('latin1');
  });
  const outcome = await play([...members, lister]);
  expect(seen, 'what is listed at the end is what is delivered').toBe(
    outcome.result.message.toBytes().toString('latin1'),
  );
  return { ...outcome, listed: seen };
}

describe('the members of a composed filter', () => {
  it('share one tree, in which their edits add up in their order', async () => {
    const trees: unknown[] = [];
    const { listed: seen } = await listed(
      editing((tree) => {
        trees.push(tree);
        prepend('A')(tree);
        tree.root.headers.set('Subject', 'A');
      }),
      editing((tree) => void trees.push(tree)),
      editing((tree) => {
        trees.push(tree);
        prepend('B')(tree);
        tree.root.headers.set('Subject', `${tree.root.headers.get('Subject')?.value} B`);
      }),
      editing((tree) => {
        trees.push(tree);
        tree.root.children[1]?.remove();
      }),
    );
    expect(new Set(trees).size).toBe(1);
    expect(seen).toContain('Subject: A B\r\n');
    expect(seen).toContain('\r\nB A first part');
    expect(seen).not.toContain('game.exe');
  });

  it('count their own edits alone as changes', async () => {
    const changed: unknown[] = [];
    await listed(
      editing(prepend('A')),
      editing((tree) => changed.push(tree.changed, tree.changes())),
      editing((tree) => {
        tree.root.headers.set('Subject', 'B');
        changed.push(tree.changed, tree.changes().headers.length, tree.changes().body);
      }),
    );
    expect(changed).toEqual([false, { headers: [], body: undefined }, true, 1, undefined]);
  });

  it('see in it the header actions of those before, in the order of delivery', async () => {
    const { listed: seen } = await listed(
      atEom(({ message }) => {
        message.addHeader('X-Added', 'one');
        message.changeHeader('x-old', 2, null);
        message.insertHeader(0, 'X-Top', 'lower');
        message.changeHeader('X-Beyond', 3, 'an addition');
      }),
      atEom(({ message }) => {
        message.changeHeader('X-Old', 3, 'THREE\n folded');
        message.changeHeader('X-Old', 1, null);
        message.insertHeader(0, 'X-Top', 'upper');
        message.addHeader('X-Added', Buffer.from('two'));
      }),
    );
    expect(seen.slice(0, seen.indexOf('\r\n\r\n')).split('\r\n')).toEqual([
      'X-Top: upper',
      'X-Top: lower',
      'Subject: as sent',
      'X-Old: THREE',
      ' folded',
      'Content-Type: multipart/mixed; boundary=b',
      'X-Beyond: an addition',
      'X-Added: one',
      'X-Added:two',
    ]);
  });

  it('see their own actions of before in it, and not those of members behind them', async () => {
    const names: (readonly string[])[] = [];
    const noting = (name: string) =>
      class extends editing((tree) =>
        names.push([...tree.root.headers].slice(5).map((field) => field.name)),
      ) {
        override envfrom() {
          this.message.addHeader(name, 'early');
        }
      };
    await listed(noting('X-A'), noting('X-B'), noting('X-C'));
    expect(names).toEqual([['X-A'], ['X-A', 'X-B'], ['X-A', 'X-B', 'X-C']]);
  });

  it('may edit what others added, which is then added so, or not at all', async () => {
    const { result } = await listed(
      atEom(({ message }) => {
        message.addHeader('X-Flag', 'one');
        message.addHeader('X-Flag', 'two');
        message.insertHeader(0, 'X-Top', 'mine');
        message.changeHeader('X-Beyond', 1, 'added');
      }),
      editing(({ root: { headers } }) => {
        headers.set('X-Flag', 'first edit');
        headers.set('X-Top', 'yours');
      }),
      editing(({ root: { headers } }) => {
        headers.set('X-Flag', 'last edit');
        headers.remove('X-Beyond');
      }),
    );
    const { headers } = result.message;
    expect(headers.map(({ name, value }) => `${name}: ${value}`)).toEqual([
      'X-Top: yours',
      'Subject: as sent',
      'X-Old: one',
      'X-Old: two',
      expect.stringContaining('three'),
      'Content-Type: multipart/mixed; boundary=b',
      'X-Flag: last edit',
    ]);
  });

  it('leave alone what they set back', async () => {
    const { result } = await play([
      editing((tree) => {
        prepend('A')(tree);
        tree.root.headers.set('Subject', 'new');
        tree.root.headers.add('X-Gone', 'soon');
      }),
      editing(({ root }) => {
        root.children[0]?.replaceContent('first part');
        root.headers.set('Subject', 'as sent');
        root.headers.remove('X-Gone');
      }),
    ]);
    expect(result.message.toBytes().toString('latin1')).toBe(MAIL);
    await using t = await serving(
      compose(
        editing(({ root }) => root.headers.set('Subject', 'new')),
        editing(({ root }) => root.headers.set('Subject', 'as sent')),
      ),
    );
    const mta = await t.mta();
    await mta.envfrom('<a@one.test>');
    await mta.envrcpt('<b@two.test>');
    await mta.data();
    await mta.header('Subject', 'as sent');
    await mta.eoh();
    expect(await mta.eom()).toMatchObject({ verdict: 'continue', actions: [] });
  });

  it('read the body anew where a header action says that it is another', async () => {
    let parts = 0;
    await listed(
      editing((tree) => tree.root.headers.add('X-Seen', String(tree.root.children.length))),
      atEom(({ message }) => message.changeHeader('Content-Type', 1, 'text/plain')),
      editing((tree) => {
        parts = tree.root.children.length;
      }),
    );
    expect(parts).toBe(0);
  });

  it('see the edits also where the MTA writes the leading space itself', async () => {
    let seen: readonly string[] = [];
    const { result } = await play(
      [
        editing(({ root: { headers } }) => headers.set('Subject', 'edited')),
        atEom(({ message }) => message.addHeader('X-Added', 'yes')),
        editing(({ root: { headers } }) => {
          seen = [...headers].map(({ name, raw }) => `${name}:${raw.toString('latin1')}`);
          headers.set('X-Added', 'edited');
        }),
      ],
      { steps: 0xfffff & ~SMFIP.HDR_LEADSPC },
    );
    expect(seen[0]).toBe('Subject: edited');
    expect(seen.at(-1)).toBe('X-Added: yes');
    expect(result.message.headers.at(-1)?.value).toBe('edited');
  });
});

describe('the body', () => {
  it('is in eom what the members before made of it, while headers are as received', async () => {
    const bodies: string[] = [];
    const append = (text: string) =>
      atEom(({ message }) => {
        bodies.push(`${message.body.toString('latin1').slice(-8)}|${message.headers.get('Subject')?.value}`);
        message.changeHeader('Subject', 1, text);
        message.replaceBody(`${message.body.toString('latin1')}${text}\r\n`);
      });
    const { result } = await play([append('A'), editing(prepend('T')), append('B')]);
    expect(bodies).toEqual(['\n--b--\r\n|as sent', 'b--\r\nA\r\n|as sent']);
    const text = result.message.body.toString('latin1');
    expect(text.endsWith('--b--\r\nA\r\nB\r\n')).toBe(true);
    expect(text).toContain('T first part');
  });

  it('is as received in handlers before eom, whatever was recorded', async () => {
    const chunks: string[] = [];
    class Replacing extends Milter {
      override envfrom() {
        this.message.replaceBody('replaced');
      }
    }
    class Reading extends Milter {
      override body(chunk: Buffer) {
        chunks.push(chunk.toString('latin1'), this.message.body.toString('latin1'));
      }
      override eom() {
        chunks.push(this.message.body.toString('latin1'));
      }
    }
    await play([Replacing, Reading]);
    const received = MAIL.slice(MAIL.indexOf('\r\n\r\n') + 4);
    expect(chunks).toEqual([received, received, 'replaced']);
  });

  it('replaced by one member is what the tree shows to later ones', async () => {
    const { listed: seen } = await listed(
      editing((tree) => {
        prepend('lost')(tree);
        tree.root.headers.set('Subject', 'kept');
      }),
      atEom(({ message }) => message.replaceBody('--b\r\n\r\nreplaced\r\n--b--\r\n')),
      editing(prepend('edited')),
    );
    expect(seen.slice(seen.indexOf('\r\n\r\n') + 4)).toBe('--b\r\n\r\nedited replaced\r\n--b--\r\n');
    expect(seen).toContain('Subject: kept');
  });

  it('cannot be replaced and edited by the same member; two of them may', async () => {
    class Both extends editing((tree, message) => {
      prepend('A')(tree);
      message.replaceBody('new');
    }) {
      static override readonly onError = 'continue';
    }
    const { log } = await listed(editing(prepend('B')), Both);
    expect(log).toMatchObject([{ fields: { error: { code: 'ERR_MILTER_BODY_CONFLICT' } } }]);
  });
});

describe('no trace is left by a member', () => {
  const spoil = (tree: MimeMessage, message: Message): void => {
    prepend('SPOILT')(tree);
    tree.root.headers.set('Subject', 'SPOILT');
    tree.root.headers.set('X-Added', 'SPOILT');
    message.addHeader('X-Spoilt', 'SPOILT');
  };
  const before = editing((tree, message) => {
    prepend('A')(tree);
    message.addHeader('X-Added', 'A');
  });
  const behind = editing(prepend('B'));

  it('that fails', async () => {
    const { listed: seen } = await listed(before, failing(spoil), behind);
    expect(seen).not.toContain('SPOILT');
    expect(seen).toContain('B A first part');
  });

  it('that may not do what it edited', async () => {
    const { result } = await play([editing(prepend('A')), failing(() => {}), behind], {
      actions: 0x1ff & ~SMFIF.CHGBODY,
    });
    // Of two that fail for that the first has its word: tempfail.
    expect(result.verdict).toBe('tempfail');
  });

  it('that is late, also when it goes on editing while others have their turn', async () => {
    const hold = gate();
    let edited = false;
    class Late extends Milter {
      static override readonly onError = 'continue';
      static override readonly deadlines = { eom: 100 };
      override async eom() {
        const tree = await this.message.mime();
        spoil(tree, this.message);
        await hold.opened;
        prepend('SPOILT')(tree);
        tree.root.headers.add('X-Spoilt', 'SPOILT');
        edited = true;
      }
    }
    const waiting = atEom(async () => {
      hold.open();
      await until('the late one to edit', () => edited);
    });
    const { listed: seen, log } = await listed(before, Late, waiting, behind);
    expect(seen).not.toContain('SPOILT');
    expect(seen).toContain('B A first part');
    expect(log).toMatchObject([{ fields: { filter: 'Late', code: 'ERR_MILTER_DEADLINE' } }]);
  });

  it.each(['continue', 'reject'] as const)('that is only observed, which is logged (%s)', async (answer) => {
    const { listed: seen, log } = await listed(before, observed(editing(spoil, answer)), behind);
    expect(seen).not.toContain('SPOILT');
    expect(seen).toContain('B A first part');
    expect(log).toMatchObject([
      { level: 'info', message: 'observed, and not done', fields: { stage: 'eom', filter: 'Observed' } },
    ]);
  });

  it('that is only observed, and goes on editing when others have their turn', async () => {
    let kept: MimeMessage | undefined;
    const keeping = editing((tree) => {
      kept = tree;
    });
    const spoiling = atEom(() => kept && prepend('SPOILT')(kept));
    const { listed: seen } = await listed(before, observed(keeping), spoiling, behind);
    expect(seen).not.toContain('SPOILT');
    expect(seen).toContain('B A first part');
  });

  it('that rejects: nothing is delivered', async () => {
    const { result } = await play([before, editing(spoil, 'reject')]);
    expect(result.verdict).toBe('reject');
  });
});

describe('an observed member', () => {
  const logged = (log: readonly LogLine[]): unknown[] =>
    log.map(({ level, fields }) => {
      const { stage, verdict, actions } = fields as Record<string, unknown>;
      return [level, stage, verdict, actions];
    });

  it('answers nobody, and takes part as far as its answers would let it', async () => {
    const calls: string[] = [];
    class Trial extends Milter {
      static override readonly observe = true;
      override envfrom() {
        this.message.addHeader('X-Trial', 'v\u00e4lue');
        this.message.deleteRcpt('<bob@two.test>');
      }
      override envrcpt() {
        return reject(550, '5.1.1', 'Nobody');
      }
      override async eom() {
        (await this.message.mime()).root.headers.remove('Subject');
        this.message.changeFrom('other@two.test');
        calls.push('eom');
        return 'discard' as const;
      }
      override abort() {
        calls.push('abort');
      }
    }
    const { result, log } = await play([Trial]);
    expect(result.verdict).toBe('continue');
    expect(result.message.toBytes().toString('latin1')).toBe(MAIL);
    expect(result.message).toMatchObject(ENVELOPE);
    expect(calls).toEqual(['eom']);
    expect(log[1]?.fields).toMatchObject({ filter: 'Trial', reply: '550 5.1.1 Nobody' });
    expect(logged(log)).toEqual([
      ['info', 'envfrom', 'continue', ['addHeader X-Trial: v\u00e4lue', 'deleteRcpt <bob@two.test>']],
      ['info', 'envrcpt', 'reject', []],
      ['info', 'eom', 'discard', ['changeFrom <other@two.test>']],
    ]);
  });

  it('that would have ended the message hears no more of it', async () => {
    const calls: string[] = [];
    class Trial extends Milter {
      static override readonly observe = true;
      override envfrom() {
        calls.push('envfrom');
        return 'reject' as const;
      }
      override eom() {
        calls.push('eom');
      }
    }
    class Real extends Milter {
      override eom() {
        calls.push('real eom');
      }
    }
    await play([Trial, Real]);
    expect(calls).toEqual(['envfrom', 'real eom']);
  });

  it('has no part in accept and skip', async () => {
    class Real extends Milter {
      static override readonly early = ['body'] as const;
      override body() {
        return 'skip' as const;
      }
      override eom() {
        return 'accept' as const;
      }
    }
    class Trial extends Milter {
      static override readonly observe = true;
      override eoh() {}
      override eom() {}
    }
    for (const members of [
      [Trial, Real],
      [Real, Trial],
    ]) {
      await using t = await serving(compose(...members));
      const mta = await t.mta();
      await mta.envfrom('<a@one.test>');
      await mta.envrcpt('<b@two.test>');
      await mta.eoh();
      expect((await mta.body('text')).verdict).toBe('skip');
      expect((await mta.eom()).verdict).toBe('accept');
    }
    await using t = await serving(observed(atEom(() => {}, 'accept')));
    expect((await (await t.mta()).sendMessage(MAIL, ENVELOPE)).verdict).toBe('continue');
  });

  it('stops no mail when it fails or is late', async () => {
    class Trial extends Milter {
      static override readonly observe = true;
      static override readonly onError = 'reject';
      override envfrom(): never {
        throw new Error('on purpose');
      }
      override eom() {
        return new Promise<undefined>(() => {});
      }
    }
    await using t = await serving(Trial, { deadlines: { eom: 50 } });
    expect((await (await t.mta()).sendMessage(MAIL, ENVELOPE)).verdict).toBe('continue');
    expect(t.log.map(({ fields: { code } }) => code)).toEqual(['ERR_MILTER_HANDLER', 'ERR_MILTER_DEADLINE']);
  });
});
