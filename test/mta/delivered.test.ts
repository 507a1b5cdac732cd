import { afterAll, beforeAll, expect, it } from 'vitest';
import { connectMta } from '../../lib/testing/index.ts';
import { type Postfix, startPostfix } from '../helpers/postfix.ts';
import { type ScriptedAnswer, startPymilter } from '../helpers/pymilter.ts';
import { describeWith } from '../helpers/requirements.ts';
import { sendMail, sendWithRetry } from '../helpers/smtp.ts';
import { unusedPort } from '../helpers/wait.ts';

const MESSAGE = [
  'Subject: hello',
  'X-A: 1',
  'X-B: folded',
  '\tvalue',
  'X-A: 2',
  'x-a: 3',
  'From: ann@one.test',
  'Date: Mon, 23 Nov 2026 07:00:00 +0000',
  'Message-Id: <1@one.test>',
  '',
  'first line',
  '',
].join('\r\n');
const ENVELOPE = { sender: 'ann@one.test', recipients: ['bob@test.invalid'] };

const CASES: readonly [string, Required<ScriptedAnswer>['actions']][] = [
  ['that only looks', []],
  [
    'that adds and inserts',
    [
      ['addheader', 'X-New', 'last'],
      ['addheader', 'X-Top', 'first', 0],
    ],
  ],
  ['that inserts far down', [['addheader', 'X-Far', 'down', 99]]],
  [
    'that changes, by any spelling of the name',
    [
      ['chgheader', 'x-A', 2, 'two'],
      ['chgheader', 'Subject', 0, 'zero'],
    ],
  ],
  [
    'that changes past the end',
    [
      ['chgheader', 'X-A', 9, 'nine'],
      ['chgheader', 'X-C', 1, 'new'],
    ],
  ],
  [
    'that deletes, the numbers moving up',
    [
      ['chgheader', 'X-A', 1, ''],
      ['chgheader', 'X-A', 2, ''],
    ],
  ],
  ['that deletes past the end', [['chgheader', 'X-A', 4, '']]],
  [
    'that changes what it added',
    [
      ['addheader', 'X-A', 'four'],
      ['chgheader', 'X-A', 4, 'changed'],
    ],
  ],
  ['that folds', [['chgheader', 'Subject', 1, 'one\n\ttwo']]],
  ['that replaces the body', [['replacebody', 'new\r\nbody\r\n']]],
  [
    'that changes the envelope',
    [
      ['chgfrom', '<new@one.test>'],
      ['addrcpt', '<eve@test.invalid>'],
      ['delrcpt', '<bob@test.invalid>'],
    ],
  ],
];

/** A mail as it lies in a mail box, without what Postfix puts on top. */
function withoutTrace(mail: string): string {
  return mail.replace(/^(?:Return-Path|X-Original-To|Delivered-To|Received):.*\n(?:[ \t].*\n)*/gm, '');
}

describeWith(['postfix', 'pymilter'], 'what sendMessage says would be delivered', () => {
  const spec = unusedPort().then((port) => `inet:${port}@127.0.0.1`);
  let postfix: Postfix;
  beforeAll(async () => {
    postfix = await startPostfix({ milters: [await spec] });
  });
  afterAll(() => postfix[Symbol.asyncDispose]());

  it.each(CASES)('is what Postfix delivers under a filter %s', async (_, actions) => {
    const before = await postfix.delivered(0);
    await using filter = await startPymilter({ stages: { eom: { '*': { actions } } } }, await spec);
    await using mta = await connectMta(filter.spec);
    const { message } = await mta.sendMessage(MESSAGE, ENVELOPE);
    await sendMail(postfix.port, { ...ENVELOPE, message: MESSAGE });
    const [mail = ''] = (await postfix.delivered(before.length + 1)).filter((mail) => !before.includes(mail));
    expect(message.toBytes().toString().replaceAll('\r\n', '\n')).toBe(withoutTrace(mail));
    expect(mail).toContain(`Return-Path: ${message.sender}\n`);
    expect(
      message.recipients.map((recipient) => mail.includes(`Delivered-To: ${recipient.slice(1, -1)}\n`)),
    ).toEqual([true]);
  });

  it('is nothing where the new body comes in pieces', async () => {
    const actions = [['replacebody', 'one\r\n'], ['progress'], ['replacebody', 'two\r\n']] as const;
    await using filter = await startPymilter({ stages: { eom: { '*': { actions } } } }, await spec);
    await using mta = await connectMta(filter.spec);
    const { verdict, reply } = await mta.sendMessage(MESSAGE, ENVELOPE);
    expect(verdict).toBe('tempfail');
    const { end } = await sendMail(postfix.port, { ...ENVELOPE, message: MESSAGE });
    expect(end).toMatchObject({ code: reply?.code, enhanced: reply?.enhanced });
  });

  it('comes to be delivered after all where the filter was away for a while', async () => {
    const before = await postfix.delivered(0);
    const submission = { ...ENVELOPE, message: MESSAGE };
    expect((await sendMail(postfix.port, submission)).mail).toMatchObject({ code: 451 });
    const lasting = sendWithRetry(postfix.port, submission);
    await using _filter = await startPymilter({}, await spec);
    expect(await lasting).toMatchObject({ code: 250 });
    expect(await postfix.delivered(before.length + 1)).toHaveLength(before.length + 1);
  });
});
