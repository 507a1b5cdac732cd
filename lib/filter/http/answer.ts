/** What the pages answer with, and what browsers may do with it. */
import type { Html } from './html.ts';

/** An answer. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
  readonly body: string | Buffer;
}

/** Nothing is loaded, sent or embedded but what these pages themselves are made of. */
const PAGE_POLICY =
  "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/** Mail in a frame: an origin of its own, without scripts, forms, network. */
const FRAME_POLICY =
  "sandbox; default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'";

const DOWNLOAD_POLICY = "sandbox; default-src 'none'; frame-ancestors 'none'";

const COMMON = {
  'Cache-Control': 'no-store',
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'X-DNS-Prefetch-Control': 'off',
  'X-Robots-Tag': 'noindex, nofollow',
} as const;

/** A page. */
export function page(status: number, content: Html, headers: Answer['headers'] = {}): Answer {
  return {
    status,
    headers: {
      ...COMMON,
      'Content-Type': 'text/html; charset=utf-8',
      'Content-Security-Policy': PAGE_POLICY,
      'X-Frame-Options': 'DENY',
      ...headers,
    },
    body: `<!doctype html>\n${content.toString()}`,
  };
}

/** A document for the frame in which mail is shown as it was designed. */
export function frame(content: Html): Answer {
  return {
    status: 200,
    headers: {
      ...COMMON,
      'Content-Type': 'text/html; charset=utf-8',
      'Content-Security-Policy': FRAME_POLICY,
      'X-Frame-Options': 'SAMEORIGIN',
    },
    body: `<!doctype html>\n${content.toString()}`,
  };
}

/** What these pages are made of: the same for all, and until the next version. */
export function asset(type: string, body: string): Answer {
  return {
    status: 200,
    headers: {
      ...COMMON,
      'Cache-Control': 'public, max-age=31536000, immutable',
      'Content-Type': type,
      // An icon may be opened by itself.
      'Content-Security-Policy': "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    },
    body,
  };
}

/** Goes on elsewhere, which is asked for by GET. */
export function redirect(path: string, headers: Answer['headers'] = {}): Answer {
  return {
    status: 303,
    headers: { ...COMMON, 'Content-Security-Policy': "default-src 'none'", ...headers, Location: path },
    body: '',
  };
}

/** Bytes to be saved, never to be shown. */
export function download(name: string, body: Buffer): Answer {
  return {
    status: 200,
    headers: {
      ...COMMON,
      'Content-Type': 'application/octet-stream',
      'Content-Security-Policy': DOWNLOAD_POLICY,
      'X-Download-Options': 'noopen',
      'Content-Disposition': disposition(name),
    },
    body,
  };
}

/** RFC 6266: a name that all understand, and the whole one. */
function disposition(name: string): string {
  const plain = name.replace(/[^\w.-]/g, '_');
  const whole = encodeURIComponent(name).replace(
    /['()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16)}`,
  );
  return `attachment; filename="${plain}"; filename*=UTF-8''${whole}`;
}
