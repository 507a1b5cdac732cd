/** The MTAs of the soak: connections of every length and end, which know what each message must be answered. */
import { connectMta, type StageReply, type WireConnection } from '../../lib/testing/index.ts';
import { type Deed, SOAKED_STAGES, type SoakedStage } from './handlers.ts';

/** What the server must have counted. */
export interface Tally {
  connections: number;
  /** Messages begun. */
  messages: number;
  /** Of those the ones of which it may never have heard, because the connection broke at that moment. */
  unheard: number;
  /** Handlers that threw. */
  failures: number;
  /** Handlers that were late, some although they did not mean to: this machine was busy. */
  deadlines: number;
  /** Of those that may have been late the ones whose connection broke meanwhile. */
  cut: number;
  /** Answers that were not what they must be; the first of them. */
  readonly wrong: string[];
}

export function newTally(): Tally {
  return { connections: 0, messages: 0, unheard: 0, failures: 0, deadlines: 0, cut: 0, wrong: [] };
}

/** Sends `messages` more over connections of which `parallel` are open at a time; fewer where `stop` tells. */
export async function soakWith(
  address: string,
  messages: number,
  parallel: number,
  random: () => number,
  tally: Tally,
  stop?: AbortSignal,
): Promise<void> {
  const end = tally.messages + messages;
  await Promise.all(
    Array.from({ length: parallel }, async () => {
      while (tally.messages < end && stop?.aborted !== true) await oneConnection(address, random, tally);
    }),
  );
}

/** One of a kind: one message, many, some aborted, or broken off at any moment. */
async function oneConnection(address: string, random: () => number, tally: Tally): Promise<void> {
  const pick = <T>(of: readonly T[]): T => of[Math.floor(random() * of.length)] as T;
  const kind = pick(['one', 'many', 'aborted', 'dropped'] as const);
  const length = { one: 1, many: 2 + random() * 30, aborted: 2 + random() * 10, dropped: random() * 4 }[kind];
  tally.connections++;
  await using mta = await connectMta(address, { timeout: 120_000 });
  for (let i = 1; i <= length; i++) {
    if (kind === 'aborted' && random() < 0.5) await abortedMessage(mta, random, tally);
    else if (!(await wholeMessage(mta, random, tally))) return;
  }
  if (kind === 'dropped') await brokenOff(mta, random, tally);
  else if (random() < 0.9) await mta.quit();
}

/** What comes to pass with a message, and where. */
function draw(random: () => number): { readonly deed: Deed; readonly stage: SoakedStage } {
  const luck = random();
  // The late cost two seconds each, and each of the others but the plain a crossing more.
  const deed =
    luck < 0.0025 ? 'late' : luck < 0.1 ? 'throw' : luck < 0.2 ? 'answer' : luck < 0.3 ? 'wait' : 'plain';
  return { deed, stage: SOAKED_STAGES[Math.floor(random() * SOAKED_STAGES.length)] ?? 'eom' };
}

const VERDICTS = {
  plain: 'continue',
  wait: 'continue',
  answer: 'reject',
  throw: 'tempfail',
  late: 'tempfail',
};

/** Returns whether the connection is good for another. */
async function wholeMessage(mta: WireConnection, random: () => number, tally: Tally): Promise<boolean> {
  const { deed, stage } = draw(random);
  tally.messages++;
  const {
    verdict,
    message,
    stage: decided,
  } = await mta.sendMessage(mail(random), {
    sender: `<${deed}.${stage}@soak.test>`,
    recipients: ['<bob@soak.test>'],
    macros: { i: `Q${tally.messages}` },
  });
  const due = stage === 'envfrom' || stage === 'envrcpt' ? stage : 'eom';
  const meant = verdict === VERDICTS[deed] && (verdict === 'continue' || decided === due);
  if (meant) {
    if (deed === 'throw') tally.failures++;
    if (deed === 'late') tally.deadlines++;
    if (verdict === 'continue' && !message.body.subarray(-8).equals(Buffer.from('soaked\r\n'))) {
      tally.wrong.push(`${deed} ${stage}: the body was not changed`);
    }
  } else if (verdict === 'tempfail') {
    tally.deadlines++;
  } else {
    tally.wrong.push(`${deed} ${stage}: ${verdict} at ${decided}`);
  }
  // Who was late may still be at it, and what comes then is answered for it.
  return verdict !== 'tempfail' || (meant && deed === 'throw');
}

/** A message that the MTA gives up after some stage. */
async function abortedMessage(mta: WireConnection, random: () => number, tally: Tally): Promise<void> {
  tally.messages++;
  await playPart(mta, random, tally);
  await mta.abort();
}

/** The end of a connection without a word, somewhere in a message, in a frame, or while a handler works. */
async function brokenOff(mta: WireConnection, random: () => number, tally: Tally): Promise<void> {
  const luck = random();
  if (luck < 0.2) return;
  tally.messages++;
  if (luck < 0.6) {
    await playPart(mta, random, tally);
    if (random() < 0.5) await mta.raw(Buffer.from([0, 0, 0, 200, 0x42, 0x61]));
    return;
  }
  tally.unheard++;
  tally.cut++;
  // Broken off while it works, which it would do until its deadline.
  const answer = mta.envfrom('<late.envfrom@soak.test>').catch(() => undefined);
  if (random() < 0.5) await new Promise(setImmediate);
  await mta.close();
  await answer;
}

async function playPart(mta: WireConnection, random: () => number, tally: Tally): Promise<void> {
  const steps: readonly (() => Promise<StageReply>)[] = [
    () => mta.envfrom('<plain.eom@soak.test>'),
    () => mta.envrcpt('<bob@soak.test>'),
    () => mta.data(),
    () => mta.header('Subject', 'soaked'),
    () => mta.eoh(),
    () => mta.body(BODY),
  ];
  const length = 1 + Math.floor(random() * steps.length);
  if (mta.greeting.connect === undefined) await mta.connect('client.test', { address: '192.0.2.7' });
  if (mta.greeting.helo === undefined) await mta.helo('client.test');
  for (const step of steps.slice(0, length)) {
    // On a busy machine this one may be late too; and to a recipient of nothing libmilter says nothing.
    if ((await step()).verdict === 'tempfail') {
      tally.deadlines++;
      return;
    }
  }
}

const BODY = 'A line of sixty-two characters, as a person would write it.\r\n'.repeat(300);

/** Four headers, and a body of up to 18 kB. */
function mail(random: () => number): string {
  const headers = Array.from({ length: 4 }, (_, i) => `X-Header-${i}: value ${random()}\r\n`);
  return `${headers.join('')}\r\n${BODY.slice(Math.floor(random() ** 0.2 * 300) * 61)}`;
}
