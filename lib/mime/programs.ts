/**
 * What is a program, by its first bytes, whatever it is called.
 */

import { wrongArgument } from '../errors.ts';
import { checkValue } from '../options.ts';
import { aBuffer } from './kinds.ts';

const SIGNATURES: readonly (readonly [format: string, signature: string])[] = [
  ['Windows program', 'MZ'],
  ['ELF program', '\x7fELF'],
  ['Mach-O program', '\xcf\xfa\xed\xfe'],
  ['Mach-O program', '\xce\xfa\xed\xfe'],
  ['Mach-O program', '\xfe\xed\xfa\xce'],
  ['Mach-O program', '\xfe\xed\xfa\xcf'],
  ['Android program', 'dex\n'],
  ['WebAssembly program', '\0asm'],
  ['Windows shortcut', '\x4c\0\0\0\x01\x14\x02\0'],
  ['Windows help program', 'ITSF'],
];

/** Texts that a system runs or follows when the file is opened, behind white space and a byte order mark. */
const SCRIPTS: readonly (readonly [format: string, start: RegExp])[] = [
  ['script', /^#! ?\/[\x21-\x7e]/],
  ['PHP script', /^<\?php\s/i],
  ['batch script', /^@echo off\b/i],
  ['Windows registry file', /^(?:REGEDIT4|Windows Registry Editor Version)/],
  ['Internet shortcut', /^\[InternetShortcut\]/i],
  ['desktop entry', /^\[Desktop Entry\]/],
  ['HTML application', /^(?:<(?:!doctype[^>]*|html|head)>\s*)*<hta:application/i],
  ['Windows script', /^(?:<\?xml[^>]*>\s*)?<(?:job|package|scriptlet|component)[\s>].*<script[\s>]/is],
];

/** The first bytes that any of these may have: nearly everything else is told by its first byte. */
const FIRST_BYTES = new Set([
  ...SIGNATURES.map(([, signature]) => signature.charCodeAt(0)),
  // Mach-O and Java; byte order marks; white space; what scripts start with.
  ...[...'\xca\xef\xff\t\n\v\f\r \xa0#<@[rRwW'].map((character) => character.charCodeAt(0)),
]);

/**
 * The kind of program, script or shortcut that these first bytes begin, for people; undefined for anything else. 512 bytes
 * are enough.
 */
export function programFormat(head: Buffer): string | undefined {
  checkValue('programFormat: the file', head, aBuffer, wrongArgument);
  if (!FIRST_BYTES.has(head[0] ?? 0)) return undefined;
  const start = head.toString('latin1', 0, 8);
  const binary = SIGNATURES.find(([, signature]) => start.startsWith(signature));
  if (binary) return binary[0];
  // The number behind is a count of architectures, below 43, or the version of a Java class, from 45 on.
  if (start.startsWith('\xca\xfe\xba\xbe'))
    return head.length < 8 || head.readUInt32BE(4) < 43 ? 'Mach-O program' : 'Java class';
  const text = asText(head).trimStart();
  // Nearly everything else.
  if (!/^[#<@[rw]/i.test(text)) return undefined;
  return SCRIPTS.find(([, pattern]) => pattern.test(text))?.[0];
}

function asText(head: Buffer): string {
  const text = head.toString('latin1', 0, 512);
  if (text.startsWith('\xff\xfe')) return head.toString('utf16le', 2, 512);
  return text.startsWith('\xef\xbb\xbf') ? text.slice(3) : text;
}
