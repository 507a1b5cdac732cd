/** Held messages in words. */
import type { HeldFinding, HeldItem } from '../quarantine/quarantine.ts';
import { type Content, type Html, html, mailText, visibleLine } from './html.ts';

/** What became of it. */
export function stateText({ state, by = 'somebody', fault }: HeldItem): string {
  switch (state) {
    case 'held':
      return fault === undefined ? 'Held' : 'Held: it could not be delivered';
    case 'requested':
      return 'Release asked for';
    case 'releasing':
      return 'On its way';
    case 'released':
      return `Released by ${visibleLine(by)}`;
    case 'deleted':
      return `Deleted by ${visibleLine(by)}`;
    case 'lost':
      return 'Lost';
  }
}

/** Whether something can still be done with it. */
export function isOpen({ state }: HeldItem): boolean {
  return state === 'held' || state === 'requested' || state === 'releasing';
}

/** Why it is held, in a few words: the finding that did it, or the first. */
export function reasonText({ findings }: HeldItem): string {
  const holding = findings.find(({ action }) => action === 'quarantine') ?? findings[0];
  return holding === undefined ? 'No reason is known' : findingText(holding);
}

/** A finding in words. */
function findingText({ name, text }: HeldFinding): string {
  const line = visibleLine(text ?? name);
  return line.slice(0, 1).toUpperCase() + line.slice(1);
}

/** A finding in words, with what it is about. */
export function findingLine(finding: HeldFinding): Html {
  const { name, action, subject, note } = finding;
  return html`${findingText(finding)}${subject !== '' && html`: ${mailText(subject)}`}${
    note !== undefined && note !== '' && html` – ${mailText(note)}`
  } <small>(<code>${visibleLine(name)}</code>, ${action})</small>`;
}

/** Marks beside a subject. */
export function tags(item: HeldItem): Content {
  const { state, guarded, learned, doubtful } = item;
  const marks: Content[] = [];
  if (state !== 'held') {
    marks.push(html`<span class="${isOpen(item) ? 'tag' : 'tag done'}">${stateText(item)}</span> `);
  } else if (item.fault !== undefined) marks.push(html`<span class="tag">Could not be delivered</span> `);
  if (doubtful === true) marks.push(html`<span class="tag">Perhaps delivered already</span> `);
  if (guarded === true) marks.push(html`<span class="tag">Dangerous</span> `);
  if (learned !== undefined) {
    marks.push(html`<span class="tag done">Learned as ${learned === 'spam' ? 'spam' : 'no spam'}</span> `);
  }
  return marks;
}

/** Who the sender says to be; the header is what people see, the envelope where there is none. */
export function senderText({ from, sender }: HeldItem): Html {
  return mailText(from === '' ? sender : from, 'no sender');
}
