/**
 * What the functions of this room take, for the checker of options. In what is no message or part, such as a promise that
 * nobody awaited, nothing would be found.
 */
import type { Kind } from '../options.ts';
import type { MimeMessage } from './message.ts';
import type { Part } from './part.ts';

export const aMessage: Kind<MimeMessage> = {
  must: 'be a MimeMessage',
  accepts: (value): value is MimeMessage =>
    aPart.accepts((value as Partial<MimeMessage> | null | undefined)?.root),
};

export const aPart: Kind<Part> = {
  must: 'be a part of a MimeMessage',
  // Another copy of this package has made it perhaps.
  accepts: (value): value is Part =>
    typeof (value as Partial<Part> | null | undefined)?.loadContent === 'function',
};

export const bytes: Kind<Uint8Array> = {
  must: 'be a Buffer or Uint8Array',
  accepts: (value): value is Uint8Array => value instanceof Uint8Array,
};

export const aBuffer: Kind<Buffer> = { must: 'be a Buffer', accepts: Buffer.isBuffer };
