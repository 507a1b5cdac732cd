/**
 * Reading tar files: member names and their bytes (POSIX ustar and pax, GNU long names).
 */
import type { Budget } from './archive-budget.ts';

const BLOCK = 512;

/** One member of a tar file. */
export interface TarMember {
  readonly name: string;
  readonly data: Buffer;
}

/** Whether these bytes start with a tar header whose checksum is right. */
export function isTar(bytes: Buffer): boolean {
  return bytes.length >= BLOCK && bytes[0] !== 0 && hasChecksum(bytes);
}

/** Lists a tar file. Never throws but for a limit. */
export async function readTar(
  bytes: Buffer,
  budget: Budget,
): Promise<{ members: readonly TarMember[]; fault: string | undefined }> {
  const members: TarMember[] = [];
  let longName: string | undefined;
  let position = 0;
  while (position + BLOCK <= bytes.length) {
    const header = bytes.subarray(position, position + BLOCK);
    // A block of zeros ends the archive.
    if (header[0] === 0) return { members, fault: undefined };
    if (!hasChecksum(header)) return { members, fault: `the header at byte ${position} is damaged` };
    const size = readNumber(header.subarray(124, 136));
    const data = bytes.subarray(position + BLOCK, position + BLOCK + size);
    if (!(size >= 0) || data.length < size) return { members, fault: 'it is cut short' };
    const type = String.fromCharCode(header[156] ?? 0);
    if (type === 'L') longName = readText(data);
    else if (type === 'x') longName = readPaxPath(data) ?? longName;
    else if (type !== 'g' && type !== 'K') {
      await budget.countMember();
      const prefix =
        header.toString('latin1', 257, 262) === 'ustar' ? readText(header.subarray(345, 500)) : '';
      const name = readText(header.subarray(0, 100));
      members.push({ name: longName ?? (prefix === '' ? name : `${prefix}/${name}`), data });
      longName = undefined;
    }
    position += BLOCK + Math.ceil(size / BLOCK) * BLOCK;
  }
  return { members, fault: undefined };
}

/** Whether the checksum of the header that these bytes start with is right. */
function hasChecksum(header: Buffer): boolean {
  // Digits of the checksum stand there, or this is no header and need not be summed up.
  const digit = header[150] ?? 0;
  if (digit !== 0x20 && (digit < 0x30 || digit > 0x37)) return false;
  let sum = 0;
  // The checksum's own field counts as spaces.
  for (let i = 0; i < BLOCK; i++) sum += i >= 148 && i < 156 ? 0x20 : (header[i] ?? 0);
  return sum === readNumber(header.subarray(148, 156));
}

/** Octal digits, or with the high bit set a big-endian number (GNU). */
function readNumber(field: Buffer): number {
  if ((field[0] ?? 0) < 0x80)
    return Number.parseInt(field.toString('latin1').replace(/\0.*$/s, '').trim() || '0', 8);
  return field.subarray(1).reduce((value, byte) => value * 256 + byte, (field[0] ?? 0) & 0x7f);
}

function readText(field: Buffer): string {
  const end = field.indexOf(0);
  return field.toString('utf8', 0, end < 0 ? field.length : end);
}

function readPaxPath(data: Buffer): string | undefined {
  return /(?:^|\n)\d+ path=([^\n]*)\n/.exec(data.toString('utf8'))?.[1];
}
