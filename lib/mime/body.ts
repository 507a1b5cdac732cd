/**
 * What of a message is its body, to be read at once, and what is attached to it.
 */

import { wrongArgument } from '../errors.ts';
import { checkValue } from '../options.ts';
import { aMessage, aPart } from './kinds.ts';
import type { MimeMessage } from './message.ts';
import type { Part } from './part.ts';

/** Whether a part is text that mail readers show as the body, rather than an attachment. */
export function isBodyText(part: Part): boolean {
  checkValue('isBodyText: the part', part, aPart, wrongArgument);
  const isText = part.contentType === 'text/plain' || part.contentType === 'text/html';
  return isText && part.disposition !== 'attachment' && part.names.length === 0;
}

const SEALED: readonly (readonly [type: string, seal: 'signed' | 'encrypted'])[] = [
  ['multipart/signed', 'signed'],
  ['multipart/encrypted', 'encrypted'],
];

/**
 * Whether a message, or the part of it that is its body, is signed or encrypted by its sender: multipart/signed and
 * multipart/encrypted (RFC 1847), S/MIME (RFC 8551), PGP in the text. Whoever changes it breaks that. A DKIM signature is
 * not meant: it is the sending server's.
 */
export function sealOf(message: MimeMessage): 'signed' | 'encrypted' | undefined {
  checkValue('sealOf: the message', message, aMessage, wrongArgument);
  let body: Part | undefined = message.root;
  for (let depth = 0; body && depth < 16; depth++) {
    const { contentType }: Part = body;
    const seal = SEALED.find(([type]) => type === contentType)?.[1] ?? smimeSeal(body);
    if (seal) return seal;
    if (contentType.startsWith('text/')) return pgpSeal(body);
    // Signatures may be inside what a mailing list put around.
    body = contentType.startsWith('multipart/') ? body.children[0] : undefined;
  }
  return undefined;
}

function smimeSeal(part: Part): 'signed' | 'encrypted' | undefined {
  const isSmime = /^application\/(?:x-)?pkcs7-mime$/.test(part.contentType);
  const isNamed =
    part.contentType === 'application/octet-stream' && part.names.some((name) => /\.p7m$/i.test(name));
  if (!isSmime && !isNamed) return undefined;
  return part.contentTypeParameters['smime-type'] === 'signed-data' ? 'signed' : 'encrypted';
}

function pgpSeal(part: Part): 'signed' | 'encrypted' | undefined {
  const start = /^-----BEGIN PGP (SIGNED )?MESSAGE-----\s*$/m.exec(part.contentHead(4096).toString('latin1'));
  if (!start) return undefined;
  return start[1] === undefined ? 'encrypted' : 'signed';
}
