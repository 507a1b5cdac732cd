/** Asks a mail server whether it would take mail for an address (MAIL, RCPT, and no DATA), or hands it a message. */
import { connect, type Socket } from 'node:net';
import type { Endpoint } from '../config/kinds.ts';
import { type SmtpAnswer, SmtpConversation, SmtpTrouble } from './smtp-conversation.ts';

/** What is asked. */
export interface SmtpQuestion {
  /** The name we give ourselves. */
  readonly helo: string;
  /** With angle brackets; `<>` for the null sender. */
  readonly sender: string;
  /** With angle brackets. */
  readonly recipient: string;
  /** Ends it, whatever the server does. */
  readonly signal: AbortSignal;
}

/** What is asked of a server elsewhere. */
export interface FarQuestion extends SmtpQuestion {
  /** The server's name, for TLS where it offers that; undefined: TLS is not begun. */
  readonly tls: string | undefined;
  /** Milliseconds for each reply. */
  readonly wait: number;
  /** Sent if the recipient is taken. Lines end in CRLF. */
  readonly message?: Buffer;
  /** Called when it is to be handed over: from then on the server may deliver it. Where it rejects, it is not sent. */
  readonly handing?: () => Promise<void>;
}

/** The last command that was answered, and how. */
export interface SmtpOutcome {
  readonly command: 'MAIL' | 'RCPT' | 'DATA' | 'message';
  readonly answer: SmtpAnswer;
}

/**
 * The server's answer to RCPT.
 * @throws SmtpTrouble where it does not come to RCPT
 */
export async function askSmtp(server: Endpoint, question: SmtpQuestion): Promise<SmtpAnswer> {
  checkAddresses(question);
  question.signal.throwIfAborted();
  const socket = server.path === undefined ? connect(server.port, server.host) : connect(server.path);
  const { command, answer } = await converse(new SmtpConversation(socket, question.signal), question);
  if (command === 'MAIL') expectOk(command, answer);
  return answer;
}

/**
 * The answer of a server elsewhere, to RCPT or to the message, or to what it refused before.
 * @param socket connected
 * @throws SmtpTrouble where it does not come to MAIL, or where the server breaks off
 */
export async function askFarSmtp(socket: Socket, question: FarQuestion): Promise<SmtpOutcome> {
  checkAddresses(question);
  return await converse(new SmtpConversation(socket, question.signal, question.wait), question);
}

async function converse(
  conversation: SmtpConversation,
  { helo, sender, recipient, tls, message, handing }: SmtpQuestion & Partial<FarQuestion>,
): Promise<SmtpOutcome> {
  try {
    expectOk('greeting', await conversation.reply());
    let features = await conversation.say(`EHLO ${helo}`);
    if (features.code >= 500) features = await conversation.say(`HELO ${helo}`);
    expectOk('EHLO', features);
    if (tls !== undefined && /\bSTARTTLS\b/i.test(features.text)) {
      await conversation.startTls(tls);
      features = await conversation.say(`EHLO ${helo}`);
      expectOk('EHLO', features);
    }
    const [itself] = features.text.split(' ');
    if (tls !== undefined && itself?.toLowerCase() === helo.toLowerCase())
      throw new SmtpTrouble('it calls itself by our name');
    const isPlain = isAscii(sender + recipient) && (message === undefined || isAscii(message));
    if (!isPlain && !/\bSMTPUTF8\b/i.test(features.text)) throw new SmtpTrouble('it does not know SMTPUTF8');
    const mail = await conversation.say(`MAIL FROM:${sender}${isPlain ? '' : ' SMTPUTF8'}`);
    if (!isOk(mail)) return { command: 'MAIL', answer: mail };
    const rcpt = await conversation.say(`RCPT TO:${recipient}`);
    if (!isOk(rcpt) || message === undefined) return { command: 'RCPT', answer: rcpt };
    const data = await conversation.say('DATA');
    if (data.code !== 354) return { command: 'DATA', answer: data };
    await handing?.();
    return { command: 'message', answer: await conversation.send(message) };
  } finally {
    conversation.end();
  }
}

function checkAddresses({ sender, recipient }: SmtpQuestion): void {
  if (/\p{Cc}/u.test(sender + recipient)) throw new SmtpTrouble('the address holds control characters');
}

function isAscii(text: string | Buffer): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: all of ASCII is meant.
  return typeof text === 'string' ? /^[\x00-\x7f]*$/.test(text) : text.every((byte) => byte < 0x80);
}

function isOk({ code }: SmtpAnswer): boolean {
  return code >= 200 && code <= 299;
}

function expectOk(command: string, answer: SmtpAnswer): void {
  if (!isOk(answer)) throw new SmtpTrouble(`it answers ${command} with ${answer.code} ${answer.text}`);
}
