/** What a digest says. Everything in it that comes from mail is hostile: escaped in HTML, on one line in text. */
import { type Html, html, period, visibleLine } from '../http/html.ts';
import type { OwnMail } from '../outgoing/own-mail.ts';
import type { HeldItem } from './quarantine.ts';

/** What is told of one message, and where its links lead; undefined: nowhere. */
export interface DigestRow {
  readonly item: HeldItem;
  readonly show: string | undefined;
  readonly release: string | undefined;
  readonly delete: string | undefined;
}

/** What a digest is made of. */
export interface DigestContent {
  readonly owner: string;
  /** The newest first. */
  readonly rows: readonly DigestRow[];
  /** How many there are; some may not be shown. */
  readonly count: number;
  /** Milliseconds that they are kept. */
  readonly keep: number;
  /** Where all of them can be seen. */
  readonly page: string | undefined;
  readonly hostname: string;
}

/** Writes a digest. */
export function digestMail(content: DigestContent): OwnMail {
  const { owner, count } = content;
  const subject = `${count} ${count === 1 ? 'message is' : 'messages are'} held for you`;
  return { to: owner, subject, text: textOf(content), html: htmlOf(content, subject) };
}

function introduction({ owner, count, keep, hostname }: DigestContent): string {
  return `The mail filter on ${hostname} holds ${count === 1 ? 'a new message' : `${count} new messages`} for ${owner}. What you do not release is deleted after ${period(keep)}.`;
}

function ending({ page, count, rows }: DigestContent): string {
  const more = count > rows.length ? `${count - rows.length} more are not shown here. ` : '';
  return page === undefined
    ? `${more}To have a message released, ask your postmaster, and name its number.`
    : `${more}Links lead to a page that asks before anything is done. All messages: ${page}`;
}

function textOf(content: DigestContent): string {
  const rows = content.rows.map((row) => {
    const { item } = row;
    return [
      `From:    ${visibleLine(fromOf(item))}`,
      `Subject: ${visibleLine(item.subject)}`,
      `Held:    ${timeOf(item)}, because: ${reasonsOf(item).join('; ')} ${pointsOf(item)}`.trimEnd(),
      `Number:  ${item.id.slice(0, 12)}`,
      ...(row.show === undefined ? [] : [`Look:    ${row.show}`]),
      ...(row.release === undefined ? [] : [`Release: ${row.release}`]),
      ...(row.delete === undefined ? [] : [`Delete:  ${row.delete}`]),
    ].join('\n');
  });
  return `${[introduction(content), ...rows, ending(content)].join('\n\n')}\n`;
}

function htmlOf(content: DigestContent, subject: string): string {
  const cell = 'padding:6px';
  const link = (address: string | undefined, text: string): Html | undefined =>
    address === undefined ? undefined : html`<a href="${address}">${text}</a> &nbsp; `;
  const rows = content.rows.map(
    ({ item, ...links }) => html`<tr style="vertical-align:top;border-top:1px solid #999">
<td style="${cell}"><bdi>${visibleLine(fromOf(item))}</bdi><br><b><bdi>${item.subject === '' ? '(no subject)' : visibleLine(item.subject)}</bdi></b></td>
<td style="${cell}">${reasonsOf(item).map((reason) => html`${reason}<br>`)}${pointsOf(item)}</td>
<td style="${cell}">${timeOf(item)}<br>${item.id.slice(0, 12)}</td>
<td style="${cell}">${link(links.show, 'Look')}${link(links.release, 'Release')}${link(links.delete, 'Delete')}</td>
</tr>
`,
  );
  return html`<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="referrer" content="no-referrer"><title>${subject}</title></head>
<body style="font-family:sans-serif">
<p>${introduction(content)}</p>
<table style="border-collapse:collapse">
<tr style="text-align:left"><th style="${cell}">From and subject</th><th style="${cell}">Why</th><th style="${cell}">When, number</th><th></th></tr>
${rows}</table>
<p>${ending(content)}</p>
</body>
</html>
`.toString();
}

function fromOf({ from, sender }: HeldItem): string {
  return from === '' ? sender : from;
}

/** Why it is held, in words; what is told of one finding several times is told once. */
function reasonsOf({ findings }: HeldItem): readonly string[] {
  const acting = findings.filter(({ action }) => action === 'quarantine');
  const shown = acting.length > 0 ? acting : findings;
  return [...new Set(shown.map(({ name, text }) => visibleLine(text ?? name)))].slice(0, 5);
}

function pointsOf({ points }: HeldItem): string {
  return points === 0 ? '' : `(${points.toFixed(1)} points)`;
}

function timeOf({ at }: HeldItem): string {
  const [date, time = ''] = new Date(at).toISOString().split('T');
  return `${date} ${time.slice(0, 5)} UTC`;
}
