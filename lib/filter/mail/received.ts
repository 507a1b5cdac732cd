/**
 * The client that a Received line names, as the MTAs in use write it (RFC 5321 section 4.4):
 *
 *     from HELO (NAME [ADDRESS]) by …                   Postfix, Sendmail, Exchange Online, Gmail
 *     from HELO (USER@NAME [ADDRESS] (may be forged))   Sendmail
 *     from [ADDRESS] (helo=HELO) by …                   Exim, where the address has no name
 *     from NAME ([ADDRESS] helo=HELO) by …              Exim
 *     from HELO (ADDRESS) by …                          Exchange
 *     from NAME (HELO HELO) (USER@ADDRESS) by …         qmail
 *
 * The sender chooses HELO and USER: an address is never taken from there.
 */
import { isIP } from 'node:net';
import { parseIp } from '../../ip.ts';
import type { JudgedClient } from '../facts.ts';

/** A line is folded, but not longer than this; what is longer was not written by an MTA. */
const MAX_LENGTH = 4_000;
/** Comments behind `from`; MTAs write three at most. */
const MAX_COMMENTS = 4;

/** Reads one Received field. Undefined where it names no client by its address: local submission, or another form. */
export function readReceived(value: string): JudgedClient | undefined {
  if (value.length > MAX_LENGTH) return undefined;
  const line = value.replace(/\s+/g, ' ').trim();
  const said = /^from ([^ ()]{1,255})(?= |$)/i.exec(line)?.[1];
  if (said === undefined) return undefined;
  let helo: string | undefined;
  for (const comment of readComments(line.slice('from '.length + said.length))) {
    const qmails = /^(?:helo|ehlo) (.*)$/i.exec(comment)?.[1];
    if (qmails !== undefined) {
      helo ??= qmails;
      continue;
    }
    const { told, isExims, exims } = readComment(comment);
    helo ??= exims;
    if (told !== undefined) {
      const hostname = isExims ? hostNameIn(said) : told.hostname;
      return { address: told.address, hostname, helo: helo ?? said };
    }
    if (isExims) return literal(said, helo);
  }
  return / \(Exim [\d.]+/.test(line) ? literal(said, helo) : undefined;
}

/** Whether a line of qmail's only says that the next one tells of the client. */
export function isPreamble(value: string): boolean {
  return /^\s*\(qmail \d{1,10} invoked from network\)/i.test(value);
}

/** The client where only the word behind `from` names it. Elsewhere than with Exim that would be the HELO. */
function literal(said: string, helo: string | undefined): JudgedClient | undefined {
  const address = addressIn(BRACKETED.exec(said)?.[2]);
  return address === undefined ? undefined : { address, hostname: undefined, helo: helo ?? said };
}

/** The last brackets, and what stands before them: a name, or an answer of the client's identd. */
const BRACKETED = /^(.*?)\[([^[\]]*)\](?::\d{1,5})?$/;

interface Comment {
  readonly told: { readonly address: string; readonly hostname: string | undefined } | undefined;
  /** It has Exim's words `helo=`, `ident=`, `port=`. */
  readonly isExims: boolean;
  readonly exims: string | undefined;
}

function readComment(comment: string): Comment {
  const [head = '', ...words] = ` ${comment}`.split(/ (?=(?:helo|ident|port)=)/i);
  const exims = words.find((word) => /^helo=/i.test(word))?.slice('helo='.length);
  const isForged = head.endsWith(' (may be forged)');
  const plain = head.replace(/ ?\([^()]*\)$/, '').trim();
  const [, before = '', bracketed] = BRACKETED.exec(plain) ?? [];
  const address = addressIn(bracketed ?? /^(?:[^@ ]*@)?([^@ ]+)$/.exec(plain)?.[1]);
  const hostname = isForged ? undefined : hostNameIn(before);
  return {
    told: address === undefined ? undefined : { address, hostname },
    isExims: words.length > 0,
    exims,
  };
}

/** The comments that follow at once, without their parentheses. */
function readComments(text: string): readonly string[] {
  const comments: string[] = [];
  let at = 0;
  while (comments.length < MAX_COMMENTS && text.startsWith(' (', at)) {
    const start = at + 2;
    let depth = 1;
    for (at = start; at < text.length && depth > 0; at++) {
      if (text[at] === '(') depth++;
      else if (text[at] === ')') depth--;
    }
    if (depth > 0) break;
    comments.push(text.slice(start, at - 1));
  }
  return comments;
}

/** An IP address, with the tag and the zone that some write; mapped ones as IPv4. */
function addressIn(text: string | undefined): string | undefined {
  return text === undefined ? undefined : parseIp(text)?.text;
}

/** The name before an address: behind the `@` of an identd's answer, without a final dot. */
function hostNameIn(text: string): string | undefined {
  const name = text.trim().replace(/^.*@/, '').replace(/\.$/, '');
  return /^[\w-]+(?:\.[\w-]+)+$/.test(name) && isIP(name) === 0 && name.length <= 255 ? name : undefined;
}
