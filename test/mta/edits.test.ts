import { afterAll, beforeAll, expect, it } from 'vitest';
import { Milter, type MilterClass } from '../../lib/index.ts';
import { type FilteredMta, type Mail, MTAS, startFiltered } from '../helpers/filtered.ts';
import { EditingAll, editedHeaders, expectedValues } from '../helpers/header-edits.ts';
import { describeWith } from '../helpers/requirements.ts';

/** A filter that does this at the end of every message. */
function atEom(act: (filter: Milter) => void): MilterClass {
  return class extends Milter {
    override eom(): void {
      act(this);
    }
  };
}

const NUMBERED = ['one', 'two', 'three', 'four', 'five', 'six'].map((word) => `X-A: ${word}`);
const LARGE = Buffer.from(`${'caf\xe9 \xff\x80 na\xefve '.repeat(5)}\r\n`.repeat(5_000), 'latin1');

for (const [name, start] of MTAS) {
  describeWith([name], `under ${name}`, () => {
    let t: FilteredMta;
    beforeAll(async () => {
      t = await startFiltered(start);
    });
    afterAll(() => t[Symbol.asyncDispose]());

    /** The one mail that comes of a message with these headers and this body. */
    async function deliver(filter: MilterClass, headers: readonly string[], body?: string): Promise<Mail> {
      t.use(filter);
      const { replies, mails } = await t.send({ headers, ...(body !== undefined && { body }) });
      expect(replies.end).toMatchObject({ code: 250 });
      expect(mails).toHaveLength(1);
      return mails[0] as Mail;
    }

    it('headers are added, inserted, changed and deleted', async () => {
      const mail = await deliver(
        atEom(({ message }) => {
          message.addHeader('X-Last', 'added');
          message.insertHeader(0, 'X-First', 'inserted');
          message.changeHeader('x-old', 1, 'changed');
          message.changeHeader('X-Gone', 1, null);
        }),
        ['X-Old: as sent', 'X-Gone: unwanted', 'X-Kept: as sent'],
      );
      expect(mail.all('X-[A-Z]+')).toEqual(['inserted', 'changed', 'as sent', 'added']);
      expect(mail.get('X-Gone')).toBeUndefined();
      expect(mail.head.indexOf('X-First')).toBeLessThan(mail.head.indexOf('Received'));
    });

    it('headers keep their folds, their bytes and their white space', async () => {
      const mail = await deliver(
        atEom(({ message }) => {
          for (const [i, { raw }] of message.headers.getAll('X-Odd').entries())
            message.addHeader(`X-Copy${i}`, raw);
          message.addHeader('X-Folded', 'first\n\tsecond');
        }),
        ['X-Odd:  two spaces', 'X-Odd: caf\u00e9', 'X-Odd: folded\r\n  here', 'X-Odd:none'],
      );
      const written = mail.head.split('\n').flatMap((line) => /^X-(?:Odd|Copy\d):(.*)/.exec(line)?.[1] ?? []);
      expect(written.slice(4)).toEqual(written.slice(0, 4));
      expect(mail.get('X-Folded')).toBe('first\n\tsecond');
    });

    it('several headers of one name are changed and deleted at once, by their numbers as received', async () => {
      const mail = await deliver(
        atEom(({ message }) => {
          message.changeHeader('X-A', 1, null);
          message.changeHeader('X-A', 2, 'TWO');
          message.insertHeader(1, 'X-A', 'inserted');
          message.changeHeader('x-a', 3, null);
          message.changeHeader('X-A', 5, null);
          message.changeHeader('X-A', 6, 'SIX');
        }),
        NUMBERED,
      );
      expect(mail.all('X-A')).toEqual(['inserted', 'TWO', 'four', 'SIX']);
    });

    it('each edit of a header means the occurrence as received, whatever else is done to that name', async () => {
      const mail = await deliver(EditingAll, editedHeaders);
      for (const [name, values] of expectedValues) {
        // Sendmail puts what is added above what is there.
        expect(mail.all(name).toSorted(), name).toEqual(values.toSorted());
      }
    });

    it('headers are added where there are some of that name', async () => {
      const mail = await deliver(
        atEom(({ message }) => {
          message.addHeader('X-A', 'first');
          message.addHeader('X-A', 'second');
        }),
        ['X-A: as sent'],
      );
      // Sendmail's addheader goes above those of the same name.
      const expected = ['as sent', 'first', 'second'];
      expect(mail.all('X-A')).toEqual(name === 'sendmail' ? expected.toReversed() : expected);
    });

    it('all headers of one name are deleted', async () => {
      const mail = await deliver(
        atEom(({ message }) => {
          for (const i of message.headers.getAll('X-A').keys()) message.changeHeader('X-A', i + 1, null);
        }),
        NUMBERED,
      );
      expect(mail.all('X-A')).toEqual([]);
    });

    it('a Received header of the message is changed, not the one of the MTA', async () => {
      const mail = await deliver(
        atEom(({ message }) => {
          expect(message.headers.getAll('Received').map(({ value }) => value)).toEqual(['older', 'oldest']);
          message.changeHeader('Received', 1, 'changed');
          message.changeHeader('Received', 2, null);
        }),
        ['Received: older', 'Received: oldest'],
      );
      expect(mail.all('Received')).toEqual([expect.stringContaining('by mx.test.invalid'), 'changed']);
    });

    it('the sender is changed', async () => {
      t.use(atEom(({ message }) => message.changeFrom('new@one.test')));
      const { mails } = await t.send();
      expect(mails.map((mail) => mail.get('Return-Path'))).toEqual(['<new@one.test>']);
    });

    it('the sender becomes the null sender', async () => {
      t.use(atEom(({ message }) => message.changeFrom('<>')));
      const { mails } = await t.send();
      // Which Sendmail spells so for those to whom it delivers.
      const nobody = name === 'sendmail' ? '<MAILER-DAEMON>' : '<>';
      expect(mails.map((mail) => mail.get('Return-Path'))).toEqual([nobody]);
    });

    it('recipients are added and deleted', async () => {
      t.use(
        atEom(({ message }) => {
          message.deleteRcpt('<bob@test.invalid>');
          message.addRcpt('eve@test.invalid');
          message.addRcpt('<dan@test.invalid>');
        }),
      );
      const { mails } = await t.send({ recipients: ['bob@test.invalid', 'cat@test.invalid'] });
      expect(mails.map((mail) => mail.get('Delivered-To')).sort()).toEqual([
        'cat@test.invalid',
        'dan@test.invalid',
        'eve@test.invalid',
      ]);
    });

    it.each([
      ['a short one', Buffer.from('new body\r\n.\r\nafter a dot\r\n')],
      ['nothing', Buffer.alloc(0)],
      ['a large one of 8-bit text', LARGE],
    ])('the body is replaced by %s', async (_, body) => {
      const mail = await deliver(
        atEom(({ message }) => message.replaceBody(body)),
        ['Subject: hello'],
      );
      expect(mail.get('Subject')).toBe('hello');
      expect(mail.body === body.toString('latin1').replaceAll('\r\n', '\n')).toBe(true);
    });

    it('a large body comes to the filter whole, and goes back longer', async () => {
      const lines = `${'x'.repeat(70)}\r\n`.repeat(4_000);
      const mail = await deliver(
        atEom(({ message }) =>
          message.replaceBody(Buffer.concat([message.body, Buffer.from('-- \r\nmine\r\n')])),
        ),
        [],
        lines,
      );
      expect(mail.body === `${lines}-- \r\nmine\r\n`.replaceAll('\r\n', '\n')).toBe(true);
    });

    it('everything is changed at once', async () => {
      const mail = await deliver(
        atEom(({ message }) => {
          message.replaceBody('new\r\n');
          message.changeFrom('<new@one.test>');
          message.addHeader('X-New', 'yes');
          message.addRcpt('eve@test.invalid');
          message.deleteRcpt('bob@test.invalid');
          message.changeHeader('X-Old', 1, null);
        }),
        ['X-Old: as sent'],
      );
      expect([mail.get('Return-Path'), mail.get('Delivered-To')]).toEqual([
        '<new@one.test>',
        'eve@test.invalid',
      ]);
      expect([mail.get('X-New'), mail.get('X-Old'), mail.body]).toEqual(['yes', undefined, 'new\n']);
    });

    it('a message is held in quarantine', async () => {
      t.use(atEom(({ message }) => message.quarantine('looks odd')));
      const { replies, mails } = await t.send({ sender: 'odd@one.test' });
      expect(replies.end).toMatchObject({ code: 250 });
      expect(mails).toEqual([]);
      expect(await t.mta.held()).toEqual([
        { sender: 'odd@one.test', reason: name === 'sendmail' ? 'looks odd' : undefined },
      ]);
    });
  });
}
