/** A filter of twenty members under a real Postfix. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { compose, Milter, type MilterClass } from '../../lib/index.ts';
import type { MimeMessage } from '../../lib/mime/index.ts';
import { type FilteredMta, startFiltered } from '../helpers/filtered.ts';
import { startPostfix } from '../helpers/postfix.ts';
import { describeWith } from '../helpers/requirements.ts';

const BODY = [
  '--b',
  'Content-Type: text/plain',
  '',
  'the text',
  '--b',
  'Content-Type: application/octet-stream; name="game.exe"',
  'Content-Transfer-Encoding: base64',
  '',
  'TVqQ',
  '--b--',
  '',
].join('\r\n');
const HEADERS = [
  'From: ann@one.test',
  'Subject:  odd   spaces',
  'Date: Mon, 06 Jul 2026 10:00:00 +0000',
  'Message-ID: <tree@one.test>',
  'X-Old: one',
  'X-Old: two',
  'X-Old: three',
  'MIME-Version: 1.0',
  'Content-Type: multipart/mixed;\r\n\tboundary=b',
];

/** A member that only listens, to one of the stages. */
function listening(index: number): MilterClass {
  class Listening extends Milter {}
  const stage = (['helo', 'envfrom', 'envrcpt', 'header', 'eoh', 'body', 'eom'] as const)[index % 7] ?? 'eom';
  Object.defineProperty(Listening.prototype, stage, { value: async () => undefined });
  return Listening;
}

function editing(edit: (tree: MimeMessage) => unknown): MilterClass {
  return class Editing extends Milter {
    override async eom() {
      await edit(await this.message.mime());
    }
  };
}

for (const protocol of [6, 4]) {
  describeWith(['postfix'], `a filter of twenty members under Postfix, milter protocol ${protocol}`, () => {
    let t: FilteredMta;
    beforeAll(async () => {
      t = await startFiltered((milter) =>
        startPostfix({ milters: [milter], main: [`milter_protocol = ${protocol}`] }),
      );
    });
    afterAll(() => t[Symbol.asyncDispose]());

    it('delivers what a member at the end has listed, and nothing of the one that was late', async () => {
      let listed = '';
      let parsed = 0;
      class Late extends Milter {
        static override readonly deadlines = { eom: 100 };
        static override readonly onError = 'continue';
        override async eom() {
          const { signal } = this.message;
          this.message.addHeader('X-Spoilt', 'by an action');
          const tree = await this.message.mime();
          tree.root.headers.set('Subject', 'spoilt');
          tree.root.children[0]?.replaceContent('spoilt');
          await new Promise((ended) => signal.addEventListener('abort', ended));
          tree.root.headers.add('X-Spoilt', 'late');
          tree.root.children[0]?.replaceContent('spoilt');
        }
      }
      class Stamping extends Milter {
        override envfrom() {
          this.message.insertHeader(1, 'X-Below-Received', 'stamped');
          this.message.insertHeader(0, 'X-Top', 'stamped');
        }
        override eom() {
          this.message.changeHeader('X-Old', 1, null);
          this.message.changeHeader('X-Old', 3, 'THREE');
          this.message.addHeader('X-Stamp', 'added');
        }
      }
      const trees = new Set<MimeMessage>();
      const members: MilterClass[] = [
        Stamping,
        editing((tree) => {
          trees.add(tree);
          tree.root.children[1]?.replaceContent('removed');
          tree.root.headers.set('Subject', '[one] edited');
        }),
        Late,
        editing((tree) => {
          trees.add(tree);
          const [text] = tree.root.children;
          text?.replaceContent(`${text.text()} and more`);
          tree.root.headers.set('X-Stamp', 'edited');
        }),
        editing((tree) => {
          trees.add(tree);
          tree.root.headers.set('Subject', `${tree.root.headers.get('Subject')?.value} twice`);
          tree.root.wrap().headers.set('X-Inner', 'yes');
        }),
        ...Array.from({ length: 14 }, (_, index) => listening(index)),
        editing((tree) => {
          trees.add(tree);
          listed = tree.toBytes().toString('latin1').replaceAll('\r\n', '\n');
          parsed = trees.size;
        }),
      ];
      expect(members).toHaveLength(20);
      t.use(compose(...members));
      const { replies, mails } = await t.send({ headers: HEADERS, body: BODY });
      expect(replies.end).toMatchObject({ code: 250 });
      expect(mails).toHaveLength(1);
      const [mail] = mails;
      // Of the delivered mail, without the fields of Postfix itself.
      const fields = `${mail?.head}`
        .split(/\n(?![ \t])/)
        .filter(
          (field) => field !== '' && !/^(Return-Path|X-Original-To|Delivered-To|Received):/.test(field),
        );
      // Postfix ends the last line where the edits left it open.
      expect(listed.replace(/\n?$/, '\n')).toBe(`${fields.join('\n')}\n\n${mail?.body}`);
      expect(fields[0]).toBe('X-Top: stamped');
      expect(mail?.get('Subject')).toBe('[one] edited twice');
      expect(mail?.all('X-Old')).toEqual(['two', 'THREE']);
      expect(mail?.get('X-Stamp')).toBe('edited');
      expect(mail?.body).toContain('the text and more');
      expect(mail?.body).toContain('X-Inner: yes');
      expect(`${mail?.head}${mail?.body}`).not.toMatch(/spoilt/i);
      // One parse for those before the late one, and one for those behind it.
      expect(parsed).toBe(2);
      expect(t.filter.server.stats()).toMatchObject({ failures: 0, deadlines: 1 });
    });
  });
}
