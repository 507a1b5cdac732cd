/**
 * Where a link in a digest leads. Programs that look into mail follow links, so that nothing is done before a person presses the
 * button; a link lets see and do what it is for, and signs nobody in.
 */
import { ReviewError, type Reviewer } from '../quarantine/review.ts';
import type { Answer } from './answer.ts';
import { type Content, type Html, html, mailText, moment } from './html.ts';
import { findingLine, isOpen, senderText, stateText, tags } from './review-text.ts';
import type { Visit } from './site.ts';

/** Milliseconds that the mail server may take. */
const PATIENCE = 150_000;

/** The page of a link; on POST it is done. Undefined: the link is not ours, or is over. */
export async function linkPage(visit: Visit, link: string): Promise<Answer | undefined> {
  const { filter, request, show } = visit;
  const read = await filter.quarantine.review.readLink(link);
  if (read === undefined) return undefined;
  const { item, action } = read;
  const who: Reviewer = { ...read.who, client: request.from };
  const answer = (title: string, content: Content, status = 200): Answer =>
    show({ title, content: html`<h1>${title}</h1>${content}` }, status);
  if (request.method === 'POST') {
    request.extend(PATIENCE);
    try {
      return answer(
        'Held message',
        html`<p role="status" class="notice">${await act(visit, who, item.id, action)}</p>`,
      );
    } catch (error) {
      if (!(error instanceof ReviewError)) throw error;
      return answer('Held message', html`<p role="alert" class="notice bad">${error.message}.</p>`, 409);
    }
  }
  const signIn = html`<p class="small"><a href="/quarantine/${item.id}">Sign in</a> to see what is in it.</p>`;
  return answer(
    'Held message',
    html`<section class="card"><h2>${mailText(item.subject, 'Without subject')}</h2><p>${tags(item)}</p>
<dl class="facts"><dt>From</dt><dd>${senderText(item)}</dd><dt>For</dt><dd>${mailText(item.owner)}</dd><dt>Held since</dt><dd>${moment(item.at)}</dd></dl>
<ul class="why-list">${item.findings.filter(({ action }) => action !== 'continue').map((finding) => html`<li>${findingLine(finding)}</li>`)}</ul>
${isOpen(item) ? button(action, filter.quarantine.review.mayRelease(who, item)) : html`<p>${stateText(item)}.</p>`}
${signIn}</section>`,
  );
}

function button(action: 'show' | 'release' | 'delete', mayRelease: boolean): Html | false {
  if (action === 'show') return false;
  if (action === 'release' && !mayRelease) {
    return html`<form method="post" class="actions"><button class="main">Ask for its release</button> <span class="small">Something dangerous was found in it: an administrator must release it.</span></form>`;
  }
  return action === 'release'
    ? html`<form method="post" class="actions"><button class="main">Release it to me</button></form>`
    : html`<form method="post" class="actions"><button class="danger">Delete it</button></form>`;
}

async function act(
  {
    filter: {
      quarantine: { review },
    },
  }: Visit,
  who: Reviewer,
  id: string,
  action: 'show' | 'release' | 'delete',
): Promise<string> {
  if (action === 'delete') {
    await review.delete(who, id);
    return 'The message is deleted.';
  }
  if (action === 'show') return 'Nothing was to be done.';
  if (!review.mayRelease(who, await review.get(who, id))) {
    await review.request(who, id);
    return 'An administrator sees now that you want it.';
  }
  const released = await review.release(who, id);
  if (released.outcome === 'released') return 'The message is released, and will be in your mailbox shortly.';
  return released.outcome === 'waiting'
    ? 'The message is on its way: the mail server is asked until it takes it.'
    : `The mail server does not take it: ${released.fault}. It is still held.`;
}
