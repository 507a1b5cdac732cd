/** The held messages of whoever is signed in: looked through, searched, and dealt with many at a time. */
import type { HeldPage, HeldQuery } from '../quarantine/quarantine.ts';
import type { Answer } from './answer.ts';
import { buttons } from './deeds.ts';
import { type Html, html, mailText, moment, period } from './html.ts';
import { formToken } from './layout.ts';
import { reasonText, senderText, tags } from './review-text.ts';
import type { SignedVisit } from './site.ts';

const LIMIT = 50;
const MAX_SEARCHED = 200;
const WHICH: readonly (readonly [NonNullable<HeldQuery['which']>, string])[] = [
  ['open', 'Waiting'],
  ['over', 'Dealt with'],
  ['all', 'All'],
];

/** A page of the list. */
export async function listPage(visit: SignedVisit): Promise<Answer> {
  const { request, filter, who, account, show } = visit;
  const { query } = request;
  const text = (query.get('q') ?? '').trim().slice(0, MAX_SEARCHED);
  const [which] = WHICH.find(([word]) => word === query.get('which')) ?? ['open' as const];
  const after = query.get('after') ?? '';
  const found = await filter.quarantine.review.list(who, {
    ...(text !== '' && { text }),
    ...(/^[\da-f]{1,60}$/.test(after) && { after }),
    which,
    limit: LIMIT,
  });
  const severalOwners = account.isAdmin || account.addresses.length !== 1;
  const content = html`<h1>Quarantine</h1>
<p class="small">${
    account.isAdmin
      ? 'Mail that is held for everybody.'
      : html`Mail that is held for ${account.addresses.join(', ')}.`
  } It is kept for ${period(filter.config.settings.quarantine.keep)}, and then let go.</p>
<form class="search" method="get" action="/quarantine" role="search">
<div><label for="q">Search</label><input type="search" id="q" name="q" value="${text}" maxlength="${MAX_SEARCHED}" placeholder="Sender, subject, recipient, reason"></div>
<div><label for="which">Show</label><select id="which" name="which">${WHICH.map(
    ([word, name]) => html`<option value="${word}"${word === which && html` selected`}>${name}</option>`,
  )}</select></div>
<button>Search</button>
</form>
${found.items.length === 0 ? empty(text, after) : list(visit, found, severalOwners)}
<div class="more">${more(found, { text, which, after })}</div>`;
  return show({ title: 'Quarantine', place: 'quarantine', content });
}

function empty(text: string, after: string): Html {
  const why =
    text !== ''
      ? 'No message fits what you look for.'
      : after !== ''
        ? 'There are no more.'
        : 'Nothing is held. All is well.';
  return html`<div class="card empty"><p>${why}</p></div>`;
}

function list(visit: SignedVisit, { items }: HeldPage, severalOwners: boolean): Html {
  const { filter, session } = visit;
  return html`<form method="post" action="/quarantine">${formToken(session)}
<div class="bar"><label hidden><input type="checkbox" data-select-all> Select all</label>
<span class="chosen" data-chosen aria-live="polite"></span>
<div class="actions" role="group" aria-label="What to do with the selected messages">${buttons(filter.quarantine.review.canTrain, 'selected')}</div></div>
<table class="mails"><caption class="unseen">Held messages, the newest first</caption>
<thead><tr><th scope="col" class="pick"><span class="unseen">Select</span></th><th scope="col">Message</th>${
    severalOwners && html`<th scope="col" class="whom">For</th>`
  }<th scope="col" class="why">Why it is held</th><th scope="col" class="when">When</th></tr></thead>
<tbody>${items.map((item) => {
    const { id, subject, owner, at } = item;
    return html`<tr>
<td class="pick"><label><span class="unseen">Select ${mailText(subject, 'without subject')}</span><input type="checkbox" name="id" value="${id}"></label></td>
<td><a class="subject" href="/quarantine/${id}">${mailText(subject, 'without subject')}</a><span class="from">${senderText(item)}</span> ${tags(item)}</td>
${severalOwners && html`<td class="whom small">${mailText(owner, 'nobody knows')}</td>`}
<td class="why small">${reasonText(item)}</td>
<td class="when small">${moment(at)}</td></tr>
`;
  })}</tbody></table></form>`;
}

function more(
  { next }: HeldPage,
  { text, which, after }: { readonly text: string; readonly which: string; readonly after: string },
): readonly (Html | false)[] {
  const to = (place: string): string => {
    const query = new URLSearchParams();
    if (text !== '') query.set('q', text);
    if (which !== 'open') query.set('which', which);
    if (place !== '') query.set('after', place);
    const written = query.toString();
    return written === '' ? '/quarantine' : `/quarantine?${written}`;
  };
  return [
    after !== '' && html`<a class="button" href="${to('')}">Back to the newest</a>`,
    next !== undefined && html`<a class="button" href="${to(next)}" rel="next">Older messages</a>`,
  ];
}
