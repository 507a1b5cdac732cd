/**
 * Kinds of archives and disk images: told by their first bytes or, failing that, by name.
 */

import { wrongArgument } from '../errors.ts';
import { checkValue } from '../options.ts';
import { aBuffer } from './kinds.ts';
import { extensionsOf } from './names.ts';
import { isTar } from './tar.ts';

/** The kinds that are looked into here: see `listArchive`. */
export type ReadFormat = 'zip' | 'gzip' | 'tar' | 'tnef';

/** A kind of archive, disk image or container that is only recognised, and not looked into. */
export interface UnreadFormat {
  /** How it is called here, such as `rar`. */
  readonly format: string;
  /** What files of this kind are called, without dots. Those that start otherwise than the kind does count all the same. */
  readonly extensions: readonly string[];
  /** What they start with, one character per byte, and where. Empty where the name is all there is to go by. */
  readonly signatures: readonly (readonly [at: number, bytes: string])[];
}

/** `-lh5-`, `-lzs-`: three bytes of it begin many a text, such as the options of a command. */
const LHA_METHODS = [...'hz'].flatMap((kind) =>
  [...'0123456789abcdefghijklmnopqrstuvwxyz'].map((method) => [2, `-l${kind}${method}-`] as const),
);

/**
 * All that is recognised and not looked into: `listArchive` answers a problem of the kind `unread` for it, also where it is
 * inside of another archive. Beyond these, nothing is looked into that is no archive: documents may have files and macros in them.
 */
export const unreadFormats: readonly UnreadFormat[] = [
  { format: 'rar', extensions: ['rar'], signatures: [[0, 'Rar!\x1a\x07']] },
  { format: '7z', extensions: ['7z'], signatures: [[0, "7z\xbc\xaf'\x1c"]] },
  { format: 'xz', extensions: ['xz', 'txz', 'lzma'], signatures: [[0, '\xfd7zXZ\0']] },
  { format: 'bzip2', extensions: ['bz2', 'bz', 'tbz', 'tbz2'], signatures: [[4, '1AY&SY']] },
  { format: 'zstd', extensions: ['zst', 'tzst'], signatures: [[0, '\x28\xb5\x2f\xfd']] },
  { format: 'lz4', extensions: ['lz4'], signatures: [[0, '\x04\x22\x4d\x18']] },
  { format: 'lzip', extensions: ['lz', 'tlz'], signatures: [[0, 'LZIP\x01']] },
  { format: 'compress', extensions: ['z', 'taz'], signatures: [[0, '\x1f\x9d']] },
  { format: 'cab', extensions: ['cab'], signatures: [[0, 'MSCF']] },
  { format: 'ace', extensions: ['ace'], signatures: [[7, '**ACE**']] },
  { format: 'arj', extensions: ['arj'], signatures: [[0, '\x60\xea']] },
  {
    format: 'lha',
    extensions: ['lha', 'lzh'],
    signatures: LHA_METHODS,
  },
  { format: 'zoo', extensions: ['zoo'], signatures: [[20, '\xdc\xa7\xc4\xfd']] },
  { format: 'alz', extensions: ['alz'], signatures: [[0, 'ALZ\x01']] },
  { format: 'egg', extensions: ['egg'], signatures: [[0, 'EGGA']] },
  {
    format: 'stuffit',
    extensions: ['sit', 'sitx'],
    signatures: [
      [0, 'SIT!'],
      [0, 'StuffIt'],
    ],
  },
  { format: 'binhex', extensions: ['hqx'], signatures: [[0, '(This file must be converted with BinHex']] },
  {
    format: 'cpio',
    extensions: ['cpio'],
    signatures: [
      [0, '070701'],
      [0, '070702'],
      [0, '070707'],
    ],
  },
  { format: 'ar', extensions: ['deb', 'ar'], signatures: [[0, '!<arch>\n']] },
  { format: 'rpm', extensions: ['rpm'], signatures: [[0, '\xed\xab\xee\xdb']] },
  { format: 'xar', extensions: ['xar', 'pkg'], signatures: [[0, 'xar!']] },
  { format: 'squashfs', extensions: ['sqsh', 'squashfs', 'snap'], signatures: [[0, 'hsqs']] },
  { format: 'wim', extensions: ['wim', 'esd'], signatures: [[0, 'MSWIM\0']] },
  {
    format: 'iso',
    extensions: ['iso', 'udf'],
    signatures: [
      [0x8001, 'CD001'],
      [0x8001, 'BEA01'],
    ],
  },
  { format: 'disk image', extensions: ['img', 'dmg', 'ima'], signatures: [] },
  { format: 'vhd', extensions: ['vhd'], signatures: [[0, 'conectix']] },
  { format: 'vhdx', extensions: ['vhdx'], signatures: [[0, 'vhdxfile']] },
  {
    format: 'vmdk',
    extensions: ['vmdk'],
    signatures: [
      [0, 'KDMV'],
      [0, '# Disk DescriptorFile'],
    ],
  },
  { format: 'outlook', extensions: ['msg', 'oft', 'pst', 'ost'], signatures: [[0, '!BDN']] },
];

/** What an archive may be: a kind that is looked into, or the `format` of one of {@link unreadFormats}. */
export type ArchiveFormat = ReadFormat | (string & {});

const READ: readonly UnreadFormat[] = [
  {
    format: 'zip',
    extensions: ['zip', 'jar'],
    signatures: [
      [0, 'PK\x03\x04'],
      [0, 'PK\x05\x06'],
    ],
  },
  { format: 'gzip', extensions: ['gz', 'tgz'], signatures: [[0, '\x1f\x8b']] },
  { format: 'tar', extensions: ['tar'], signatures: [] },
  { format: 'tnef', extensions: [], signatures: [[0, '\x78\x9f\x3e\x22']] },
];

const FORMATS: readonly UnreadFormat[] = [...READ, ...unreadFormats];
interface Signature {
  readonly format: string;
  readonly at: number;
  readonly bytes: string;
}

const SIGNATURES: readonly Signature[] = FORMATS.flatMap(({ format, signatures }) =>
  signatures.map(([at, bytes]) => ({ format, at, bytes })),
);
/** Those at the very beginning, by their first byte. */
const BY_FIRST_BYTE = Map.groupBy(
  SIGNATURES.filter(({ at }) => at === 0),
  ({ bytes }) => bytes.charCodeAt(0),
);
const NEAR = SIGNATURES.filter(({ at }) => at > 0 && at < 32);
const FAR = SIGNATURES.filter(({ at }) => at >= 32);
const BY_EXTENSION = new Map(
  FORMATS.flatMap(({ format, extensions }) => extensions.map((extension) => [extension, format] as const)),
);

/** How many first bytes tell every kind. */
export const SIGNATURE_BYTES: number = 0x8001 + 5;

/**
 * The kind of archive that bytes or, failing that, a name make of something; undefined for anything else. The first
 * 32,774 bytes tell every kind, 512 all but disk images.
 */
export function archiveFormat(bytes: Buffer, names: readonly string[] = []): ArchiveFormat | undefined {
  checkValue('archiveFormat: the file', bytes, aBuffer, wrongArgument);
  const first = BY_FIRST_BYTE.get(bytes[0] ?? 0);
  const near = (first && findSignature(bytes, first)) ?? findSignature(bytes, NEAR);
  if (near !== undefined) return near;
  if (isTar(bytes)) return 'tar';
  const far = bytes.length > 0x8000 ? findSignature(bytes, FAR) : undefined;
  if (far !== undefined) return far;
  for (const name of names) {
    for (const extension of extensionsOf(name)) {
      const format = BY_EXTENSION.get(extension);
      if (format !== undefined) return format;
    }
  }
  return undefined;
}

function findSignature(bytes: Buffer, signatures: readonly Signature[]): ArchiveFormat | undefined {
  for (const { format, at, bytes: signature } of signatures) {
    if (bytes[at] !== signature.charCodeAt(0)) continue;
    if (bytes.toString('latin1', at, at + signature.length) === signature) return format;
  }
  return undefined;
}
