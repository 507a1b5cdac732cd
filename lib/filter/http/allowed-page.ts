/** The senders who were allowed for good. */
import type { Identity } from '../quarantine/allowed.ts';
import type { Answer } from './answer.ts';
import { html, mailText, moment, visibleLine } from './html.ts';
import { formToken } from './layout.ts';
import type { Notice } from './sessions.ts';
import type { SignedVisit } from './site.ts';

const MOST = 500;

/** The list. */
export async function allowedPage({ filter, who, session, show }: SignedVisit): Promise<Answer> {
  const entries = await filter.quarantine.review.allowed(who);
  const content = html`<h1>Allowed senders</h1>
<p>Mail of these comes through whatever is found in it, but for what is dangerous; as long as DKIM or SPF proves that it is really from them. They are added where a held message is looked at.</p>
${
  entries.length === 0
    ? html`<div class="card empty"><p>No sender is allowed yet.</p></div>`
    : html`<section class="card scroll" tabindex="0" aria-label="Allowed senders"><table><caption class="unseen">Allowed senders</caption>
<thead><tr><th scope="col">Sender</th><th scope="col">Where</th><th scope="col">For</th><th scope="col">Since</th><th scope="col"><span class="unseen">Remove</span></th></tr></thead>
<tbody>${entries.slice(0, MOST).map(
        ({ kind, address, owner, at, by }) => html`<tr><th scope="row">${mailText(address)}</th>
<td>${kind === 'from' ? 'From' : 'Envelope'}</td><td>${mailText(owner)}</td><td>${moment(at)}<br><small>by ${visibleLine(by)}</small></td>
<td><form method="post" action="/allowed">${formToken(session)}<input type="hidden" name="owner" value="${owner}"><input type="hidden" name="kind" value="${kind}"><input type="hidden" name="address" value="${address}">
<button class="danger">Remove<span class="unseen"> ${mailText(address)}</span></button></form></td></tr>
`,
      )}</tbody></table>${entries.length > MOST && html`<p class="small">And ${entries.length - MOST} more.</p>`}</section>`
}`;
  return show({ title: 'Allowed senders', place: 'allowed', content });
}

/** Takes one out. */
export async function disallow({ filter, who }: SignedVisit, form: URLSearchParams): Promise<Notice> {
  const kind: Identity['kind'] = form.get('kind') === 'sender' ? 'sender' : 'from';
  const [owner, address] = [form.get('owner') ?? '', form.get('address') ?? ''];
  const wasThere = await filter.quarantine.review.disallow(who, { owner, kind, address });
  return wasThere
    ? { text: `${visibleLine(address)} is not allowed any more.`, isBad: false }
    : { text: 'There was no such entry.', isBad: true };
}
