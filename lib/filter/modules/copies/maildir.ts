/** A message into a maildir: whole or not at all, under a name that is made of it. */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { type Chunks, makeFolder, writeSafely } from '../../kit.ts';
import { folderRights, type PlaceRights, staysBelow } from './place.ts';

/**
 * Writes it to `new/`; one of that name is replaced. Resolves when it is safe on disk.
 * @param base the folder that the maildir must not leave by a symbolic link
 */
export async function writeToMaildir(
  maildir: string,
  base: string,
  name: string,
  message: Chunks,
  rights: PlaceRights,
): Promise<void> {
  for (const folder of ['tmp', 'new', 'cur']) {
    await makeFolder(join(maildir, folder), folderRights(rights), rights.owner);
  }
  await staysBelow(base, join(maildir, 'new'));
  await staysBelow(base, join(maildir, 'tmp'));
  await writeSafely(
    message,
    join(maildir, 'tmp', `${name}.${randomUUID()}`),
    () => join(maildir, 'new', name),
    rights,
  );
}
