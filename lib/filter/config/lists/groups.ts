/** Groups of addresses, in a file. */
import { BadValue } from '../faults.ts';
import { type Kind, textKind } from '../kind.ts';
import { reading } from '../reading.ts';
import { AddressSet, MAX_ADDRESS, mailboxOf } from './addresses.ts';
import type { Entries } from './files.ts';
import { openFile } from './list.ts';

/** Who is in which group. What the file holds may change between two questions. */
export interface AddressGroups {
  /** The first group that an address is in; undefined where it is in none. */
  groupOf(address: string): string | undefined;
}

class GroupSet implements Entries {
  readonly groups = new Map<string, AddressSet>();

  add(entry: string): void {
    const [, name = '', members = ''] = /^([\w.-]{1,100})\s*:\s*(.+)$/.exec(entry) ?? [];
    if (name === '') throw new BadValue('is no group: write "NAME: ann@example.com, .sales.example.com"');
    const set = this.groups.get(name) ?? new AddressSet();
    for (const member of members.split(/[\s,]+/).filter((one) => one !== '')) set.add(member);
    this.groups.set(name, set);
  }
}

const newSet = (): GroupSet => new GroupSet();

/** A file of groups, `"file:PATH"`, one a line: `NAME: ADDRESS, ADDRESS…`. It is read anew when it changes. */
export function addressGroups(): Kind<AddressGroups, string> {
  return textKind(
    'a file of groups, "file:PATH", with lines such as "sales: ann@example.com, .sales.example.com"',
    (text): AddressGroups | undefined => {
      if (!text.startsWith('file:')) return undefined;
      const file = openFile(text.slice(5), newSet, newSet);
      const { ours } = reading();
      return {
        groupOf: (address) => {
          if (address.length > MAX_ADDRESS) return undefined;
          const mailbox = mailboxOf(address);
          for (const [name, set] of file.entries.groups) if (set.has(mailbox, ours)) return name;
          return undefined;
        },
      };
    },
    undefined,
  );
}
