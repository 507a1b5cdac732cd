/**
 * Where a link in a digest leads. Programs that look into mail follow links, so that nothing is done before a person presses the
 * button; a link lets see and do what it is for, and signs nobody in.
 */
import type { LinkAction } from '../quarantine/review.ts';
import type { Answer } from './answer.ts';
import { CONFIRM, confirmPage } from './confirm-page.ts';
import { type Deed, type Doing, deedOf, doOne } from './deeds.ts';
import { type Content, type Html, html, mailText, moment } from './html.ts';
import { RequestFault } from './request.ts';
import { findingLine, isOpen, senderText, stateText, tags } from './review-text.ts';
import type { Visit } from './site.ts';

/** What may be done by a link; the first is what it is mainly for. */
const DEEDS: Readonly<Record<LinkAction, readonly Deed[]>> = {
  show: [],
  release: ['ham', 'release', 'request'],
  delete: ['spam', 'delete'],
};

/** The page of a link; on POST it is done. Undefined: the link is not ours, or is over. */
export async function linkPage(visit: Visit, link: string): Promise<Answer | undefined> {
  if (link.startsWith(CONFIRM)) return await confirmPage(visit, link.slice(CONFIRM.length));
  const { filter, request, show } = visit;
  const read = await filter.quarantine.review.readLink(link);
  if (read === undefined) return undefined;
  const { item, action } = read;
  const doing: Doing = { filter, request, who: { ...read.who, client: request.from } };
  const answer = (content: Content, status = 200): Answer =>
    show({ title: 'Held message', content: html`<h1>Held message</h1>${content}` }, status);
  if (request.method === 'POST') {
    const deed = deedOf(await request.form(), false);
    if (deed === undefined || !DEEDS[action].includes(deed))
      throw new RequestFault(400, 'The form does not say what is to be done.');
    const { text, isBad } = await doOne(doing, deed, item.id);
    return isBad
      ? answer(html`<p role="alert" class="notice bad">${text}</p>`, 409)
      : answer(html`<p role="status" class="notice">${text}</p>`);
  }
  const signIn = html`<p class="small"><a href="/quarantine/${item.id}">Sign in</a> to see what is in it.</p>`;
  return answer(
    html`<section class="card"><h2>${mailText(item.subject, 'Without subject')}</h2><p>${tags(item)}</p>
<dl class="facts"><dt>From</dt><dd>${senderText(item)}</dd><dt>For</dt><dd>${mailText(item.owner)}</dd><dt>Held since</dt><dd>${moment(item.at)}</dd></dl>
<ul class="why-list">${item.findings.filter(({ action }) => action !== 'continue').map((finding) => html`<li>${findingLine(finding)}</li>`)}</ul>
${isOpen(item) ? form(action, filter.quarantine.review.mayRelease(doing.who, item), filter.quarantine.review.canTrain) : html`<p>${stateText(item)}.</p>`}
${signIn}</section>`,
  );
}

function form(action: LinkAction, mayRelease: boolean, canTrain: boolean): Html | false {
  if (action === 'show') return false;
  const button = (deed: Deed, text: string, look?: 'main' | 'danger'): Html =>
    html`<button${look !== undefined && html` class="${look}"`} name="deed" value="${deed}">${text}</button> `;
  const of = (buttons: readonly Html[], small?: string): Html =>
    html`<form method="post" class="actions">${buttons}${small !== undefined && html`<span class="small">${small}</span>`}</form>`;
  if (action === 'delete') {
    return canTrain
      ? of(
          [button('spam', 'Is spam: delete', 'danger'), button('delete', 'Only delete', 'danger')],
          '“Is spam” also teaches the filter.',
        )
      : of([button('delete', 'Delete', 'danger')]);
  }
  if (!mayRelease) {
    return of(
      [button('request', 'Ask for its release', 'main')],
      'Something dangerous was found in it: an administrator must release it.',
    );
  }
  return canTrain
    ? of(
        [button('ham', 'Is not spam: release', 'main'), button('release', 'Only release')],
        '“Is not spam” also teaches the filter.',
      )
    : of([button('release', 'Release', 'main')]);
}
