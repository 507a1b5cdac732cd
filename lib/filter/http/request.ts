/** What of a request the pages look at: read within bounds, and believed only as far as the one who brought it. */
import { type IncomingMessage, METHODS } from 'node:http';
import { isIP } from 'node:net';
import { TLSSocket } from 'node:tls';

/** A request. */
export interface PageRequest {
  readonly method: 'GET' | 'POST';
  /** Decoded, by its slashes; empty for `/`. */
  readonly path: readonly string[];
  readonly query: URLSearchParams;
  readonly cookies: ReadonlyMap<string, string>;
  /** Where it came from, as far as that is known: an address, or `local` for a unix socket. */
  readonly from: string;
  /** Whether it came over TLS, to a proxy that says so. */
  readonly isSecure: boolean;
  /** Whether it may have been another site that had the browser send it. */
  readonly isForeign: boolean;
  /**
   * The fields of a form.
   * @throws RequestFault where it is none, or too large
   */
  form(): Promise<URLSearchParams>;
  /** Gives what is being done so many milliseconds. */
  extend(time: number): void;
}

/** What is answered with a status of its own. */
export class RequestFault extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

const MAX_FORM = 64 * 1024;
const MAX_URL = 4_096;

/** Looks at a request. @throws RequestFault */
export function readRequest(request: IncomingMessage): PageRequest {
  const { method = '', url = '', headers, socket } = request;
  if (method !== 'GET' && method !== 'HEAD' && method !== 'POST') {
    throw new RequestFault(METHODS.includes(method) ? 405 : 501, 'This page cannot do that.');
  }
  if (url.length > MAX_URL) throw new RequestFault(414, 'The address is too long.');
  const [rawPath = '', rawQuery = ''] = url.split(/\?(.*)/s);
  const isTrusted = isNear(socket.remoteAddress);
  const forwarded = (name: string): string | undefined => {
    const value = headers[name];
    // What the nearest proxy wrote stands last.
    return isTrusted && value !== undefined ? String(value).split(',').at(-1)?.trim() : undefined;
  };
  const given = forwarded('x-forwarded-for');
  return {
    method: method === 'POST' ? 'POST' : 'GET',
    path: pathOf(rawPath),
    query: new URLSearchParams(rawQuery),
    cookies: cookiesOf(headers.cookie ?? ''),
    from: given !== undefined && isIP(given) !== 0 ? given : (socket.remoteAddress ?? 'local'),
    isSecure: socket instanceof TLSSocket || forwarded('x-forwarded-proto')?.toLowerCase() === 'https',
    isForeign: isForeign(headers),
    form: async () => await readForm(request),
    extend: (time) => void socket.setTimeout(time),
  };
}

/** A proxy is believed on this machine alone. */
function isNear(address: string | undefined): boolean {
  return address === undefined || /^(?:::ffff:)?127\.|^::1$/.test(address);
}

function pathOf(raw: string): readonly string[] {
  if (!raw.startsWith('/')) throw new RequestFault(404, 'There is no such page.');
  try {
    const path = raw.slice(1).split('/').map(decodeURIComponent);
    return path.length === 1 && path[0] === '' ? [] : path;
  } catch {
    throw new RequestFault(400, 'The address is damaged.');
  }
}

function cookiesOf(header: string): ReadonlyMap<string, string> {
  const pairs = header.split(';', 50).map((pair) => pair.trim().split(/=(.*)/s));
  return new Map(pairs.map(([name = '', value = '']) => [name, value]));
}

/** What browsers say of who had them send it; those that say nothing are held to the token. */
function isForeign(headers: IncomingMessage['headers']): boolean {
  const { origin, host } = headers;
  const site = headers['sec-fetch-site'];
  if (site !== undefined) return site !== 'same-origin' && site !== 'none';
  // Under a policy of no referrer browsers say "null" of our own forms too.
  if (origin === undefined || origin === 'null') return false;
  return URL.parse(origin)?.host !== host?.toLowerCase();
}

async function readForm(request: IncomingMessage): Promise<URLSearchParams> {
  const type = request.headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase();
  if (type !== 'application/x-www-form-urlencoded') {
    throw new RequestFault(415, 'Only forms of these pages are taken.');
  }
  if (Number(request.headers['content-length'] ?? 0) > MAX_FORM) throw tooLarge();
  const pieces: Buffer[] = [];
  let size = 0;
  try {
    for await (const piece of request as AsyncIterable<Buffer>) {
      size += piece.length;
      if (size > MAX_FORM) throw tooLarge();
      pieces.push(piece);
    }
  } catch (error) {
    if (error instanceof RequestFault) throw error;
    throw new RequestFault(400, 'The form did not come whole.');
  }
  return new URLSearchParams(Buffer.concat(pieces).toString('utf8'));
}

function tooLarge(): RequestFault {
  return new RequestFault(413, 'The form is too large.');
}
