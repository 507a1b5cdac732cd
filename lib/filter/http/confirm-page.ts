/** Where a stranger whose first message is held confirms it. He sees of it what he knows, and nothing is done before he presses the button. */
import type { Answer } from './answer.ts';
import { html, mailText } from './html.ts';
import { RequestFault } from './request.ts';
import type { Visit } from './site.ts';

/** How such links begin; a token follows. */
export const CONFIRM = 'confirm.';

const TITLE = 'Confirm your message';

/** The page of a token; on POST it is confirmed. Undefined: it is not ours, or is over. */
export async function confirmPage(
  { filter, request, show }: Visit,
  token: string,
): Promise<Answer | undefined> {
  const pending = await filter.confirmation?.find(token);
  if (pending === undefined) return undefined;
  if (request.method === 'POST') {
    if ((await request.form()).get('deed') !== 'confirm')
      throw new RequestFault(400, 'The form does not say what is to be done.');
    await filter.confirmation?.confirm(token);
    const thanks = html`<p role="status" class="notice">Thank you: your message goes on its way.</p>`;
    return show({ title: TITLE, content: html`<h1>${TITLE}</h1>${thanks}` });
  }
  return show({
    title: TITLE,
    content: html`<h1>${TITLE}</h1>
<section class="card"><h2>${mailText(pending.subject, 'Without subject')}</h2>
<dl class="facts"><dt>For</dt><dd>${mailText(pending.owners.join(', '))}</dd></dl>
<form method="post" class="actions"><button class="main" name="deed" value="confirm">I have sent this</button></form>
<p class="small">If you have not, close this page: your address was used by somebody else.</p></section>`,
  });
}
