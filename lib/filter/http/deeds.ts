/** What can be done with held messages: the buttons, and what happens when one is pressed. */
import { ReviewError } from '../quarantine/review.ts';
import { type Html, html, plural } from './html.ts';
import type { Notice } from './sessions.ts';
import type { SignedVisit } from './site.ts';

/** Who does it, by which request, with which filter. */
export type Doing = Pick<SignedVisit, 'filter' | 'who' | 'request'>;

/** What may be pressed. */
export type Deed = 'ham' | 'release' | 'again' | 'spam' | 'delete' | 'request' | 'withdraw' | 'allow';

/** Deeds that can be done with many at once. */
const MANY: readonly Deed[] = ['ham', 'release', 'spam', 'delete'];
const ALL: readonly Deed[] = [...MANY, 'again', 'request', 'withdraw', 'allow'];
/** So many at once. */
const MOST = 200;
/** Milliseconds that a mail server, and all that is to be done, may take. */
const PATIENCE = 150_000;

/** How a sentence says it. */
const DONE: Readonly<Record<Deed, string>> = {
  ham: 'released, and learned as no spam',
  release: 'released',
  again: 'released once more',
  spam: 'deleted, and learned as spam',
  delete: 'deleted',
  request: 'marked for an administrator to release',
  withdraw: 'no longer marked for release',
  allow: 'allowed',
};

/** The buttons for what most do. */
export function buttons(canTrain: boolean, about: 'selected' | 'one'): Html {
  const ask = about === 'selected' ? ' the selected messages' : ' this message';
  const of = about === 'selected' && html`<span class="unseen">${ask}</span>`;
  return canTrain
    ? html`<button class="main" name="deed" value="ham">Is not spam: release${of}</button>
<button name="deed" value="release">Only release${of}</button>
<span class="gap"></span>
<button class="danger" name="deed" value="spam" data-ask="Delete${ask}? It cannot be undone.">Is spam: delete${of}</button>
<button class="danger" name="deed" value="delete" data-ask="Delete${ask}? It cannot be undone.">Only delete${of}</button>`
    : html`<button class="main" name="deed" value="release">Release${of}</button>
<span class="gap"></span>
<button class="danger" name="deed" value="delete" data-ask="Delete${ask}? It cannot be undone.">Delete${of}</button>`;
}

/** Which deed a form is for. */
export function deedOf(form: URLSearchParams, isForMany: boolean): Deed | undefined {
  const word = form.get('deed');
  return (isForMany ? MANY : ALL).find((deed) => deed === word);
}

/** Does it with one message. What is to be said then comes back; it is bad news where it was not done. */
export async function doOne(visit: Doing, deed: Deed, id: string): Promise<Notice> {
  visit.request.extend(PATIENCE);
  try {
    return await perform(visit, deed, id, true);
  } catch (error) {
    if (!(error instanceof ReviewError) || error.code === 'gone') throw error;
    return { text: `${error.message}.`, isBad: true };
  }
}

/** Does it with each of those that are chosen. */
export async function doMany(visit: Doing, deed: Deed, ids: readonly string[]): Promise<Notice> {
  if (ids.length === 0) return { text: 'No message was selected.', isBad: true };
  visit.request.extend(PATIENCE);
  const chosen = [...new Set(ids)].slice(0, MOST);
  const faults = new Map<string, number>();
  let done = 0;
  for (const id of chosen) {
    try {
      const { isBad, text } = await perform(visit, deed, id, false);
      if (isBad) faults.set(text, (faults.get(text) ?? 0) + 1);
      else done++;
    } catch (error) {
      if (!(error instanceof ReviewError)) throw error;
      faults.set(`${error.message}.`, (faults.get(`${error.message}.`) ?? 0) + 1);
    }
  }
  const said = done > 0 ? [`${plural(done, 'message')} ${done === 1 ? 'is' : 'are'} ${DONE[deed]}.`] : [];
  for (const [fault, times] of faults) said.push(`${plural(times, 'message')} not: ${fault}`);
  return { text: said.join(' '), isBad: faults.size > 0 };
}

async function perform({ filter, who }: Doing, deed: Deed, id: string, wait: boolean): Promise<Notice> {
  const { review } = filter.quarantine;
  const good = (more = ''): Notice => ({ text: `The message is ${DONE[deed]}.${more}`, isBad: false });
  switch (deed) {
    case 'ham':
    case 'release':
    case 'again': {
      const item = await review.get(who, id);
      // Only what will be released is learned.
      const unlearned =
        deed === 'ham' && review.mayRelease(who, item) ? await learn(review, who, id, 'ham') : '';
      const released = await review.release(who, id, { wait, again: deed === 'again' });
      if (released.outcome === 'failed') {
        return {
          text: `The mail server does not take it: ${released.fault}. It is still held.`,
          isBad: true,
        };
      }
      if (released.outcome === 'waiting' && released.fault !== undefined) {
        return {
          text: `It is on its way, but the mail server does not take it yet: ${released.fault}. It is asked again.${unlearned}`,
          isBad: false,
        };
      }
      return good(unlearned);
    }
    case 'spam': {
      const unlearned = await learn(review, who, id, 'spam');
      await review.delete(who, id);
      return good(unlearned);
    }
    case 'delete':
      await review.delete(who, id);
      return good();
    case 'request':
      await review.request(who, id);
      return good();
    case 'withdraw':
      await review.withdraw(who, id);
      return good();
    case 'allow': {
      const { kind, address } = await review.allow(who, id);
      const what = kind === 'from' ? 'From' : 'the envelope';
      return {
        text: `Mail with ${address} in ${what} comes through from now on, as long as that is proved by DKIM or SPF.`,
        isBad: false,
      };
    }
  }
}

/** Has it learned; says whose fault it is where somebody did not. */
async function learn(
  review: Doing['filter']['quarantine']['review'],
  who: Doing['who'],
  id: string,
  as: 'spam' | 'ham',
): Promise<string> {
  const { failed } = await review.train(who, id, as);
  return failed.length === 0 ? '' : ` ${failed.map(({ name }) => name).join(' and ')} could not learn it.`;
}
