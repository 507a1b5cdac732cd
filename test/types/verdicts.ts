/** Held by the compiler: which verdicts each stage allows. Nothing here runs. */
import {
  type Client,
  type Header,
  Milter,
  type MilterClass,
  reject,
  serve,
  slot,
  tempfail,
} from '../../lib/index.ts';

export class EveryLegalVerdict extends Milter {
  static override readonly early = ['header', 'eoh', 'body'] as const;
  static override readonly macros = { connect: ['j'], envfrom: ['i'], eom: ['{msg_id}'] };
  static override readonly rejectedRecipients = true;
  static override readonly body = 'keep';
  static override readonly onError = 'accept';

  override connect(client: Client) {
    if (client.family === 'unknown') return 'accept';
    return client.port === 0 ? reject(554, null, 'no') : tempfail(421, '4.7.0', 'later');
  }
  override async helo(name: string) {
    return name === '' ? 'continue' : undefined;
  }
  override envfrom(sender: string, parameters: readonly string[]) {
    return parameters.includes('SMTPUTF8') ? 'discard' : sender === '<>' ? 'accept' : undefined;
  }
  override async envrcpt(recipient: string) {
    return recipient === '' ? 'reject' : tempfail(450, null, 'later');
  }
  override data() {}
  override unknown(command: string) {
    return command === 'VRFY' ? 'tempfail' : 'reject';
  }
  override header(header: Header) {
    return header.name === 'A' ? 'discard' : 'continue';
  }
  override async eoh(): Promise<'accept'> {
    return 'accept';
  }
  override body(chunk: Buffer) {
    return chunk.length > 0 ? 'skip' : 'discard';
  }
  override async eom() {
    return this.message.headers.length > 0 ? reject(550, '5.7.1', 'no') : 'discard';
  }
  override async abort() {}
  override close() {}
}

export class ConnectDiscards extends Milter {
  // @ts-expect-error: there is no message to discard yet.
  override connect(): 'discard' {
    return 'discard';
  }
}
export class HeloDiscards extends Milter {
  // @ts-expect-error: there is no message to discard yet.
  override async helo(): Promise<'discard'> {
    return 'discard';
  }
}
export class EnvfromSkips extends Milter {
  // @ts-expect-error: only body can be skipped.
  override envfrom(): 'skip' {
    return 'skip';
  }
}
export class EnvrcptSkips extends Milter {
  // @ts-expect-error: only body can be skipped.
  override envrcpt(): 'skip' {
    return 'skip';
  }
}
export class DataSkips extends Milter {
  // @ts-expect-error: only body can be skipped.
  override data(): 'skip' {
    return 'skip';
  }
}
export class HeaderSkips extends Milter {
  // @ts-expect-error: only body can be skipped.
  override header(): 'skip' {
    return 'skip';
  }
}
export class EohSkips extends Milter {
  // @ts-expect-error: only body can be skipped.
  override eoh(): 'skip' {
    return 'skip';
  }
}
export class EomSkips extends Milter {
  // @ts-expect-error: only body can be skipped.
  override eom(): 'skip' {
    return 'skip';
  }
}
export class UnknownAccepts extends Milter {
  // @ts-expect-error: an unknown command can only be refused.
  override unknown(): 'accept' {
    return 'accept';
  }
}
export class UnknownDiscards extends Milter {
  // @ts-expect-error: an unknown command can only be refused.
  override unknown(): 'discard' {
    return 'discard';
  }
}
export class AbortAnswers extends Milter {
  // @ts-expect-error: nobody waits for an answer.
  override abort(): 'accept' {
    return 'accept';
  }
}
export class CloseAnswers extends Milter {
  // @ts-expect-error: nobody waits for an answer.
  override close(): 'accept' {
    return 'accept';
  }
}
export class Misspelt extends Milter {
  // @ts-expect-error: no such verdict.
  override eom(): 'rejected' {
    return 'rejected';
  }
}
export class Numbered extends Milter {
  // @ts-expect-error: verdicts are words.
  override eom(): 1 {
    return 1;
  }
}
export class HandMade extends Milter {
  // @ts-expect-error: replies are made by reject() and tempfail(), which check them.
  override eom() {
    return { verdict: 'reject', code: 550, enhanced: null, lines: ['no'] } as const;
  }
}
export class NoSuchStage extends Milter {
  // @ts-expect-error: there is no such method to override.
  override mailfrom() {}
}
export class WrongArgument extends Milter {
  // @ts-expect-error: a sender is a string.
  override envfrom(_sender: number) {}
}
// @ts-expect-error: these are never late.
export class WrongEarly extends Milter {
  static override readonly early = ['envfrom'] as const;
}
// @ts-expect-error: no macros come with the body.
export class WrongMacros extends Milter {
  static override readonly macros = { body: ['i'] } as const;
}
// @ts-expect-error: nobody wants mail lost by a bug.
export class WrongOnError extends Milter {
  static override readonly onError = 'discard';
}
// @ts-expect-error: keep or none.
export class WrongBody extends Milter {
  static override readonly body = 'some';
}

export class Acting extends Milter {
  override eom() {
    this.message.changeHeader('A', 1, null);
    this.message.addHeader('A', Buffer.from('b'));
    // @ts-expect-error: only changeHeader deletes.
    this.message.addHeader('A', null);
    // @ts-expect-error: parameters are words of their own.
    this.message.addRcpt('a@one.test', 'NOTIFY=NEVER');
    // @ts-expect-error: what was received does not change.
    this.message.sender = '<b@one.test>';
    // @ts-expect-error: recipients are added with addRcpt.
    this.message.recipients.push({ address: '<a@one.test>', parameters: [] });
    // @ts-expect-error: nor do headers; changeHeader records a change.
    this.message.headers.get('A').value = 'b';
    // @ts-expect-error: a header may not be there.
    this.message.headers.get('A').value.toLowerCase();
    // @ts-expect-error: a client's address may not be known.
    this.session.client.address.split('.');
  }
}

// @ts-expect-error: a rejection has at least a code and an enhanced code.
reject(550);
// @ts-expect-error: lines are text.
reject(550, null, 5);
// @ts-expect-error: that is a temporary refusal.
reject(450, null, 'no');
// @ts-expect-error: that is a permanent refusal.
tempfail(550, null, 'later');
// @ts-expect-error: an enhanced code of another class.
reject(550, '4.7.1', 'no');
// @ts-expect-error: an enhanced code of another class.
tempfail(450, '5.7.1', 'later');
// @ts-expect-error: an enhanced code has three numbers.
reject(550, '5.7', 'no');
// @ts-expect-error: no whole number.
reject(550.5, null, 'no');
// @ts-expect-error: there is no such code.
reject(600, null, 'no');
// @ts-expect-error: nor an enhanced code with words.
reject(550, '5.7.one', 'no');
// @ts-expect-error: any number might be of the wrong class.
reject(Number('550'), null, 'no');
reject(554, '5.7.23', 'no');
reject(500, `5.${7}.${1}`, 'no', 'never');
tempfail(421, '4.3.2', 'later');

/** Never called. */
export async function serving(filter: MilterClass): Promise<void> {
  await using server = await serve(filter, { socket: 'inet:0@127.0.0.1', deadlines: { eom: 5 } });
  await server.close({ deadline: 5 });
  await serve(() => new EveryLegalVerdict(), { socket: 'inet:0' });
  // @ts-expect-error: a socket is needed.
  await serve(filter, {});
  // @ts-expect-error: no such option.
  await serve(filter, { socket: 'inet:0', sokcet: 1 });
  // @ts-expect-error: no such stage.
  await serve(filter, { socket: 'inet:0', deadlines: { mail: 5 } });
  // @ts-expect-error: not a Milter class.
  await serve(class {}, { socket: 'inet:0' });
}

const counter = slot('types.counter', 'session', () => 0);
const found = slot<string>('types.found', 'message');
export class Slotted extends Milter {
  override eom() {
    counter.set(this, counter.get(this) + 1);
    // @ts-expect-error: not of the slot's type.
    counter.set(this, 'one');
    // @ts-expect-error: it may be undefined where there is no initialiser.
    found.get(this).trim();
    // @ts-expect-error: the filter, not its message.
    found.get(this.message);
  }
}
// @ts-expect-error: sessions and messages have places, recipients have none.
slot<string>('types.wrong', 'recipient');
