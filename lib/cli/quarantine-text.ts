/** What `milter quarantine` shows, for a person. */
import type { HeldItem, QuarantineReport } from '../filter/index.ts';
import { printable } from './printable.ts';

/** An item on one line; of its id, enough for a person. */
export function formatLine(item: HeldItem): string {
  const { id, at, state, owner, sender, findings, subject, doubtful } = item;
  const why = findings
    .filter(({ action }) => action === 'quarantine')
    .map(({ name }) => name)
    .join(',');
  const fields = [
    id.slice(0, 12),
    toTime(at),
    ...(doubtful === true ? ['perhaps delivered'] : state === 'held' ? [] : [state]),
    owner === '' ? '(nobody)' : owner,
    sender,
    why,
    subject,
  ];
  return fields.map(printable).join('  ');
}

/** All that is known of an item. */
export function formatItem(item: HeldItem): string {
  const { client, findings, changed, by, fault, sending, proved = [] } = item;
  const line = (name: string, value: string | undefined): readonly (readonly [string, string])[] =>
    value === undefined || value === '' ? [] : [[name, value]];
  const lines = [
    ['id', item.id] as const,
    [
      'state',
      changed === undefined ? item.state : `${item.state} by ${by ?? '?'}, ${toTime(changed)}`,
    ] as const,
    ...line('', item.doubtful === true ? 'it may have been delivered already: look for it first' : undefined),
    ...line('fault', fault),
    ...line(
      'next',
      sending === undefined || sending.attempt !== undefined
        ? undefined
        : `${toTime(sending.due)}, after ${sending.tries} so far`,
    ),
    ['held', toTime(item.at)] as const,
    ...line('ref', item.ref),
    ['owner', item.owner === '' ? 'nobody knows whose it is' : item.owner] as const,
    ['sender', item.sender] as const,
    ...line('proved', proved.map(({ kind, address }) => `${kind}:${address}`).join(', ')),
    ...line(
      'client',
      client.hostname === ''
        ? undefined
        : `${client.hostname} [${client.address ?? 'local'}], HELO ${client.helo}`,
    ),
    ['points', String(item.points)] as const,
    ['size', `${item.size} bytes`] as const,
    ['file', `${item.sha256}.eml.gz on ${item.host}`] as const,
    ...line('learned', item.learned),
    ...line(
      'release',
      item.guarded === true ? 'by an administrator only: something dangerous was found' : undefined,
    ),
    ...findings.map(({ name, action, subject, text, note }): readonly [string, string] => [
      'found',
      [name, `(${action})`, text ?? '', subject, note ?? ''].filter((part) => part !== '').join(' '),
    ]),
  ];
  return `${lines.map(([name, text]) => printable(`${`${name === '' ? '' : `${name}:`}`.padEnd(8)}${text}`)).join('\n')}\n`;
}

/** What a check found and did. */
export function formatReport(report: QuarantineReport, folder: string, most: number): string {
  const { held, files, bytes, lost, found, adopted, unusable, removed, listed } = report;
  const lines = [
    `${held} held, in ${files} files of ${bytes} bytes, ${Math.round((100 * bytes) / most)} % of max_size`,
    ...lost.map(({ item, fault }) => `lost: ${item.id} for ${item.owner}: ${fault}`),
    ...found.map(({ id, owner }) => `found again, and held: ${id} for ${owner}`),
    ...adopted.map(({ id, sha256 }) => `nobody’s, and held as ${id}: ${folder}/${sha256}.eml.gz`),
    ...unusable.map((name) => `nobody’s, and damaged: ${folder}/${name}`),
    ...removed.map((name) => `never finished, and removed: ${folder}/${name}`),
    ...(listed > 0 ? [`${listed} messages were missing in lists, and are there now`] : []),
  ];
  if (files === 0 && lost.length > 0)
    lines.push(
      `There is no message in ${folder} at all: is its disk mounted? What is lost stays held until one is.`,
    );
  if (adopted.length > 0)
    lines.push(
      'Files that are nobody’s are left by a crash before the MTA was answered, so that it sent again; or the store was lost.',
    );
  return `${lines.map(printable).join('\n')}\n`;
}

function toTime(at: number): string {
  return new Date(at).toISOString().replace(/\.\d+Z$/, 'Z');
}
