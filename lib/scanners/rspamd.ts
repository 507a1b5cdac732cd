/** rspamd, by HTTP: a connection for each question. */
import {
  type ClientRequest,
  request as httpRequest,
  type IncomingMessage,
  type OutgoingHttpHeaders,
} from 'node:http';
import { request as httpsRequest } from 'node:https';
import { abortFault, ScannerError, shownReply, unlessAborted } from './error.ts';
import { type RspamdVerdict, readRspamdVerdict } from './rspamd-reply.ts';

/** What rspamd is told of a message besides its bytes. What is undefined is not told. */
export interface RspamdMail {
  readonly ip: string | undefined;
  /** The client's confirmed name. */
  readonly hostname: string | undefined;
  readonly helo: string;
  /** Without angle brackets. */
  readonly sender: string;
  /** Without angle brackets. */
  readonly recipients: readonly string[];
  readonly queueId: string | undefined;
  /** Who logged in. */
  readonly user: string | undefined;
}

/** What rspamd is to learn, and how it is asked: `controller` is not where it judges. */
export interface Lesson {
  readonly controller: URL;
  /** The controller's; empty for none. */
  readonly password: string;
  readonly as: 'spam' | 'ham';
}

/** Longer than any reply. */
const MAX_REPLY = 4 * 1_048_576;
/** Recipients that are named: the header section must not grow without end. */
const MAX_NAMED = 100;
const MAX_VALUE = 500;

interface Reply {
  readonly status: number;
  readonly body: string;
}

/** An rspamd. */
export class Rspamd {
  readonly #url: URL;

  constructor(url: URL) {
    this.#url = url;
  }

  /** What it thinks of a message. */
  async check(mail: RspamdMail, pieces: readonly Buffer[], signal: AbortSignal): Promise<RspamdVerdict> {
    const { status, body } = await ask(this.#url, 'checkv2', headersOf(mail), pieces, signal);
    if (status !== 200) throw refusal(status, body);
    return readRspamdVerdict(body);
  }

  /** Has it learn a message. That it knows it already (208), or does not want it (204), is no fault. */
  async learn(
    pieces: readonly Buffer[],
    { controller, password, as }: Lesson,
    signal: AbortSignal,
  ): Promise<void> {
    const headers = password === '' ? {} : { Password: asHeader(password) };
    const { status, body } = await ask(controller, `learn${as}`, headers, pieces, signal);
    if (![200, 204, 208].includes(status)) throw refusal(status, body);
  }

  /** Resolves where it answers. */
  async ping(signal: AbortSignal): Promise<void> {
    const { status, body } = await ask(this.#url, 'ping', {}, [], signal);
    if (status !== 200 || !body.startsWith('pong')) throw refusal(status, body);
  }
}

function refusal(status: number, body: string): ScannerError {
  return new ScannerError('refused', `rspamd says ${status} ${shownReply(body)}`);
}

function headersOf(mail: RspamdMail): OutgoingHttpHeaders {
  const { ip, hostname, helo, sender, recipients, queueId, user } = mail;
  const [only] = recipients.length === 1 ? recipients : [];
  const headers: Readonly<Record<string, string | undefined>> = {
    Ip: ip,
    Hostname: hostname,
    Helo: helo === '' ? undefined : helo,
    From: sender,
    'Queue-Id': queueId,
    User: user,
    'Deliver-To': only,
  };
  return {
    ...Object.fromEntries(
      Object.entries(headers).flatMap(([name, value]) =>
        value === undefined ? [] : [[name, asHeader(value)]],
      ),
    ),
    Rcpt: recipients.slice(0, MAX_NAMED).map(asHeader),
  };
}

/** As bytes of UTF-8, without what would end the header. */
function asHeader(value: string): string {
  const plain = value.slice(0, MAX_VALUE).replace(/\p{Cc}/gu, '?');
  return Buffer.from(plain.toWellFormed(), 'utf8').toString('latin1');
}

async function ask(
  url: URL,
  path: string,
  headers: OutgoingHttpHeaders,
  pieces: readonly Buffer[],
  signal: AbortSignal,
): Promise<Reply> {
  if (signal.aborted) throw abortFault('rspamd', signal);
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
  const target = new URL(`${url.pathname.replace(/\/$/, '')}/${path}`, url);
  const request = target.protocol === 'https:' ? httpsRequest : httpRequest;
  const asked = request(target, {
    method: length === 0 ? 'GET' : 'POST',
    // A connection that is kept may be closed by the other side just when it is used.
    agent: false,
    headers: { ...headers, 'Content-Length': length, 'Content-Type': 'message/rfc822' },
  });
  try {
    for (const piece of pieces) asked.write(piece);
    asked.end();
    return await unlessAborted('rspamd', signal, answerTo(asked));
  } finally {
    asked.destroy();
  }
}

function answerTo(asked: ClientRequest): Promise<Reply> {
  return new Promise((resolve, reject) => {
    let isThere = false;
    asked.once('socket', (socket) => {
      socket.once(asked.protocol === 'https:' ? 'secureConnect' : 'connect', () => {
        isThere = true;
      });
    });
    const fail = (error: Error): void => {
      reject(
        new ScannerError(
          isThere ? 'cut-off' : 'down',
          `rspamd ${isThere ? 'hung up' : 'cannot be reached'}: ${error.message}`,
          { cause: error },
        ),
      );
    };
    asked.on('error', fail);
    asked.on('response', (response: IncomingMessage) => {
      // It sends a body with it all the same, which HTTP does not know.
      if (response.statusCode === 204) resolve({ status: 204, body: '' });
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => {
        body += text;
        if (body.length > MAX_REPLY) reject(new ScannerError('nonsense', 'rspamd talks without end'));
      });
      response.on('error', fail);
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
    });
  });
}
