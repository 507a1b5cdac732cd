/**
 * Archives that are parts of a message.
 */

import { wrongArgument } from '../errors.ts';
import { checkValue } from '../options.ts';
import { type ArchiveListing, listArchive } from './archive.ts';
import type { ArchiveLimits } from './archive-budget.ts';
import { aPart } from './kinds.ts';
import type { Part } from './part.ts';

/** Listings by content, which is one object until a part is edited, and by names and limits. */
const listings = new WeakMap<Buffer, Map<string, Promise<ArchiveListing | undefined>>>();

/**
 * Lists the archive that a part is, and the archives in it: see {@link listArchive}. Empty for what is none; more than one listing
 * where the part declares several encodings. A part is listed once, however often it is asked for, until it is edited.
 */
export async function listPart(
  part: Part,
  limits: Partial<ArchiveLimits> = {},
): Promise<readonly ArchiveListing[]> {
  checkValue('listPart: the part', part, aPart, wrongArgument);
  const { names } = part;
  const key = JSON.stringify([names, limits]);
  const found: ArchiveListing[] = [];
  for (const content of [await part.loadContent(), ...part.otherContents()]) {
    const known = listings.get(content) ?? new Map<string, Promise<ArchiveListing | undefined>>();
    listings.set(content, known);
    const listing = known.get(key) ?? listArchive(content, names, limits);
    known.set(key, listing);
    const listed = await listing;
    if (listed) found.push(listed);
  }
  return found;
}
