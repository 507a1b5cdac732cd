/** The system's groups by name, which Node.js does not know. */
import { readFileSync } from 'node:fs';

/** The id of a group of /etc/group; a number, written as such or as text, is one already. Undefined: there is none. */
export function groupId(group: string | number): number | undefined {
  if (typeof group === 'number') return group;
  if (/^\d{1,9}$/.test(group)) return Number(group);
  const lines = readFileSync('/etc/group', 'utf8').split('\n');
  const id = lines.map((line) => line.split(':')).find(([name]) => name === group)?.[2];
  return id !== undefined && /^\d+$/.test(id) ? Number(id) : undefined;
}
