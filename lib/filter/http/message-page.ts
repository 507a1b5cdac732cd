/** One held message: who wrote it, why it is held, and what is in it, as text. Nothing of it is interpreted here. */
import { readPageInTurns, safeHtml } from '../../mime/index.ts';
import type { HeldItem } from '../quarantine/quarantine.ts';
import { ReviewError } from '../quarantine/review.ts';
import { type Answer, download, frame } from './answer.ts';
import { buttons } from './deeds.ts';
import { bytes, type Content, Html, html, mailText, moment, plural, visible, visibleLine } from './html.ts';
import { formToken } from './layout.ts';
import {
  partOf,
  type ShownMessage,
  type ShownText,
  safeName,
  shownMessage,
  textHead,
} from './message-content.ts';
import { findingLine, isOpen, senderText, stateText, tags } from './review-text.ts';
import type { SignedVisit } from './site.ts';

/** Characters that are shown of what readers do not see. */
const MAX_SECRET = 20_000;
const MAX_LINKS = 50;

/** The page of a message. */
export async function messagePage(visit: SignedVisit, id: string): Promise<Answer> {
  const { filter, who, show, request } = visit;
  const item = await filter.quarantine.review.get(who, id);
  const isDesigned = request.query.get('view') === 'design';
  const content = html`<a class="back" href="/quarantine">← All held messages</a>
<h1>${mailText(item.subject, 'Without subject')}</h1>
<p>${tags(item)}</p>
${isOpen(item) && actions(visit, item)}
<div class="pair">
<section class="card" aria-labelledby="about"><h2 id="about">About it</h2>${facts(item)}</section>
<section class="card" aria-labelledby="why"><h2 id="why">Why it is held</h2>
${reasons(item)}
${item.points !== 0 && html`<p class="small">Points in all: ${item.points}</p>`}
<p class="small">The filter’s log knows it as <code>${visibleLine(item.ref)}</code>.</p></section>
</div>
${isOpen(item) || item.state === 'lost' ? await body(visit, item, isDesigned) : html`<p class="none">What was in it is not kept any more.</p>`}`;
  return show({ title: visibleLine(item.subject) || 'Without subject', place: 'quarantine', content });
}

function actions(visit: SignedVisit, item: HeldItem): Html {
  const { filter, who, session } = visit;
  const { review } = filter.quarantine;
  const mayRelease = review.mayRelease(who, item);
  const identity = review.allowable(item);
  const form = (name: string, content: Content): Html =>
    html`<form method="post" action="/quarantine/${item.id}" class="actions" aria-label="${name}">${formToken(session)}${content}</form>`;
  return html`<section class="card" aria-labelledby="deeds"><h2 id="deeds" class="unseen">What to do with it</h2>
${
  item.state === 'releasing'
    ? html`<p>It is on its way to <bdi>${item.owner}</bdi>.${item.fault !== undefined && html` The mail server did not take it yet: ${visibleLine(item.fault)}`}</p>`
    : mayRelease
      ? form('What to do with it', buttons(review.canTrain, 'one'))
      : asking(item, form)
}
${
  item.doubtful === true &&
  html`<p>It may have been delivered already: the filter ended while the mail server took it. Look for it first.</p>
${mayRelease && form('Send it again', html`<button name="deed" value="again">Release it all the same</button>`)}`
}
${item.fault !== undefined && item.state === 'held' && html`<p class="small">It could not be delivered: ${visibleLine(item.fault)}</p>`}
${
  review.canTrain &&
  mayRelease &&
  html`<p class="small">“Is not spam” and “is spam” also teach the filter; “only” leaves it as it is.</p>`
}
${
  identity !== undefined &&
  mayRelease &&
  form(
    'Allow the sender',
    html`<button name="deed" value="allow">Always allow this sender</button>
<span class="small">Lets mail through that has <b><bdi>${visibleLine(identity.address)}</bdi></b> ${
      identity.kind === 'from' ? 'in From' : 'as its envelope sender'
    }, where ${identity.kind === 'from' ? 'DKIM or SPF prove' : 'SPF proves'} that it is really from there.</span>`,
  )
}
${identity === undefined && html`<p class="small">Its sender cannot be allowed for good: neither DKIM nor SPF proves who it was.</p>`}
</section>`;
}

function asking(item: HeldItem, form: (name: string, content: Content) => Html): Html {
  return html`<p>Something dangerous was found in it, so only an administrator can release it.</p>
${
  item.state === 'requested'
    ? form(
        'Your request',
        html`<span>You have asked for it.</span> <button name="deed" value="withdraw">Take that back</button>
<button class="danger" name="deed" value="delete" data-ask="Delete this message? It cannot be undone.">Delete</button>`,
      )
    : form(
        'What to do with it',
        html`<button class="main" name="deed" value="request">Ask for its release</button>
<button class="danger" name="deed" value="delete" data-ask="Delete this message? It cannot be undone.">Delete</button>`,
      )
}`;
}

function facts(item: HeldItem): Html {
  const { client, sender, owner, at, size } = item;
  const rows: readonly (readonly [string, Content])[] = [
    ['State', stateText(item)],
    ['From', senderText(item)],
    ['Envelope sender', mailText(sender)],
    ['For', mailText(owner, 'nobody knows')],
    [
      'Came from',
      html`${mailText(client.hostname)} [${client.address ?? 'this machine'}], which said ${mailText(client.helo, 'nothing')}`,
    ],
    ['Held since', moment(at)],
    ['Size', bytes(size)],
  ];
  return html`<dl class="facts">${rows.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>`;
}

/** First what had it held; what else was found is less to the point. */
function reasons({ findings }: HeldItem): Html {
  const isReason = ({ action }: HeldItem['findings'][number]): boolean => action !== 'continue';
  const list = (some: HeldItem['findings']): Html =>
    html`<ul class="why-list">${some.map((finding) => html`<li>${findingLine(finding)}</li>`)}</ul>`;
  const others = findings.filter((finding) => !isReason(finding));
  return html`${list(findings.filter(isReason))}${
    others.length > 0 && html`<details><summary>What else was found</summary>${list(others)}</details>`
  }`;
}

async function body(visit: SignedVisit, item: HeldItem, isDesigned: boolean): Promise<Html> {
  const { filter, who } = visit;
  let message: ShownMessage;
  try {
    message = await shownMessage(await filter.quarantine.review.read(who, item.id));
  } catch (error) {
    if (!(error instanceof ReviewError)) throw error;
    return html`<p class="notice bad">${error.message}.</p>`;
  }
  const { texts, attachments } = message;
  const plain = texts.filter(({ isHtml }) => !isHtml);
  const designed = texts.filter(({ isHtml }) => isHtml);
  const isRead = plain.length === 0 && !isDesigned;
  const read: Html[] = [];
  for (const text of isRead ? designed : []) read.push(await readText(text));
  const view = (name: string, text: string, isShown: boolean): Html =>
    html`<li><a href="/quarantine/${item.id}${name}#text"${isShown && html` aria-current="page"`}>${text}</a></li>`;
  return html`<section class="card" aria-labelledby="text"><h2 id="text">What it says</h2>
${
  designed.length > 0 &&
  html`<nav aria-label="How it is shown"><ul>${view('', 'As text', !isDesigned)}${view('?view=design', 'As it was designed', isDesigned)}</ul></nav>`
}
${
  texts.length === 0
    ? html`<p class="none">There is no text in it.</p>`
    : isDesigned && designed.length > 0
      ? designed.map(({ number }) => designFrame(item, number))
      : plain.length > 0
        ? plain.map((text) => plainText(text, text.text))
        : read
}
</section>
<section class="card" aria-labelledby="attached"><h2 id="attached">${attachments.length === 0 ? 'No attachments' : plural(attachments.length, 'attachment')}</h2>
${attachmentList(visit, item, message)}
</section>
<section class="card"><details><summary>All headers</summary>
<div class="scroll" tabindex="0" role="region" aria-label="Headers"><pre>${message.headers.map(
    ([name, value]) => html`<b>${visibleLine(name)}:</b> ${visibleLine(value)}
`,
  )}</pre></div>${message.moreHeaders > 0 && html`<p class="small">And ${message.moreHeaders} more.</p>`}</details></section>`;
}

function designFrame(item: HeldItem, number: number): Html {
  return html`<p class="small">Without pictures, and links cannot be followed: they are written beside their text.</p>
<iframe class="frame" sandbox="" referrerpolicy="no-referrer" loading="lazy" src="/quarantine/${item.id}/design/${number}" title="The message as it was designed"></iframe>`;
}

function plainText({ isCut }: ShownText, text: string): Html {
  return html`<pre class="mail" dir="auto">${visible(text).trim()}</pre>${isCut && html`<p class="small">It is cut off here: it goes on in the source.</p>`}`;
}

/** What a reader of the HTML would see; and, apart, what is kept from his eyes. */
async function readText(shown: ShownText): Promise<Html> {
  const { visible: seen, hidden, links } = await readPageInTurns(shown.text);
  const secret = tidy(hidden).slice(0, MAX_SECRET);
  return html`${plainText(shown, tidy(seen))}${
    secret !== '' &&
    html`<details><summary>Text that is hidden from readers</summary><pre class="mail" dir="auto">${visible(secret)}</pre></details>`
  }${
    links.length > 0 &&
    html`<details><summary>Where its links and pictures lead</summary><ul class="why-list">${links
      .slice(0, MAX_LINKS)
      .map((link) => html`<li><code>${visibleLine(link)}</code></li>`)}</ul></details>`
  }`;
}

function tidy(text: string): string {
  return text
    .replace(/[^\S\n]+/g, ' ')
    .replace(/ ?\n ?/g, '\n')
    .replace(/\n{3,}/g, '\n\n')
    .trim();
}

function attachmentList(
  { filter, who }: SignedVisit,
  item: HeldItem,
  { attachments, more }: ShownMessage,
): Html {
  const mayGet = filter.quarantine.review.mayRelease(who, item);
  const get = (path: string, text: Content): Html | false =>
    mayGet && html`<a href="/quarantine/${item.id}/${path}" download>${text}</a>`;
  return html`${
    attachments.length > 0 &&
    html`<ul class="files">${attachments.map(
      ({ number, name, type, size }) =>
        html`<li><b>${mailText(name, 'without a name')}</b> <span class="small">${visibleLine(type)}, about ${bytes(size)}</span> ${get(
          `part/${number}`,
          html`Save<span class="unseen"> ${mailText(name, 'the attachment without a name')}</span>`,
        )}</li>`,
    )}</ul>`
  }${more && html`<p class="small">There are more parts than are shown.</p>`}
<p class="small">${
    mayGet
      ? html`${get('source', 'Save the whole message as it came')}: a text file, which no mail program opens by itself.`
      : 'What is dangerous can be saved by an administrator only.'
  }</p>`;
}

/** What is asked for below a message: a frame's content, an attachment, the source. Undefined: there is no such thing. */
export async function messagePart(
  visit: SignedVisit,
  id: string,
  kind: string,
  digits: string | undefined,
): Promise<Answer | undefined> {
  const { filter, who, audit } = visit;
  const { review } = filter.quarantine;
  if (kind === 'source' && digits === undefined) {
    const item = await review.get(who, id);
    if (!review.mayRelease(who, item)) return undefined;
    audit('save the source', { item: id });
    return download(`message-${id.slice(0, 12)}.eml.txt`, await review.read(who, id));
  }
  if (digits === undefined || !/^\d{1,3}$/.test(digits)) return undefined;
  const number = Number(digits);
  if (kind !== 'part' && kind !== 'design') return undefined;
  const item = await review.get(who, id);
  if (kind === 'part' && !review.mayRelease(who, item)) return undefined;
  const part = await partOf(await review.read(who, id), number);
  if (part === undefined || part.contentType.startsWith('multipart/')) return undefined;
  if (kind === 'part') {
    audit('save an attachment', { item: id, part: number });
    return download(safeName(part, number), part.isLeaf ? await part.loadContent() : part.bodyBytes());
  }
  if (part.contentType !== 'text/html') return undefined;
  const shown = new Html(await safeHtml(textHead(part).text));
  return frame(html`<html lang="en"><head><meta charset="utf-8"><title>Held message</title>
<style>body { font: 16px/1.5 sans-serif; margin: 12px; overflow-wrap: anywhere; color: #1d2623; background: #fff; } table { max-width: 100%; }</style></head>
<body>${shown}</body></html>`);
}
