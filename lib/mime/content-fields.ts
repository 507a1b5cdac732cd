/**
 * The fields that decide how a part is read: Content-Type, Content-Disposition, Content-Transfer-Encoding.
 */
import { type Encoding, parseEncoding } from './encodings.ts';
import { parseStructured, type Structured } from './parameters.ts';

/** What the first field of each name says, and the further ones that a reader might heed instead. */
export interface ContentFields {
  readonly type: Structured | undefined;
  readonly disposition: Structured | undefined;
  readonly encoding: Encoding;
  readonly duplicates: readonly { readonly name: string; readonly value: Structured }[];
}

/** The fields of a part that has none. */
export const noContentFields: ContentFields = {
  type: undefined,
  disposition: undefined,
  encoding: 'identity',
  duplicates: [],
};

/** Reads them from fields whose names are in lower case; other fields may be among them. */
export function readContentFields(
  fields: readonly { readonly name: string; readonly read: () => string }[],
): ContentFields {
  let type: Structured | undefined;
  let disposition: Structured | undefined;
  let encoding: Encoding | undefined;
  const duplicates: { name: string; value: Structured }[] = [];
  for (const { name, read } of fields) {
    if (name === 'content-type') {
      if (type) duplicates.push({ name, value: parseStructured(read()) });
      else type = parseStructured(read());
    } else if (name === 'content-disposition') {
      if (disposition) duplicates.push({ name, value: parseStructured(read()) });
      else disposition = parseStructured(read());
    } else if (name === 'content-transfer-encoding') encoding ??= parseEncoding(read());
  }
  return { type, disposition, encoding: encoding ?? 'identity', duplicates };
}
