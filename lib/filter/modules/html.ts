/** Takes out of pages and pictures what acts, and what tells their sender that they were seen. */
import { Milter } from '../../index.ts';
import {
  cleanHtmlPart,
  findActiveContent,
  findRemoteImages,
  type HtmlRemoval,
  isMarkup,
  listParts,
  type MimeMessage,
  type Part,
  removeRemoteImages,
  sealOf,
} from '../../mime/index.ts';
import { type Change, defineModule, kinds, z } from '../kit.ts';

/** What is named in a note. */
const MAX_NAMED = 10;

export default defineModule({
  name: 'html',
  about: 'What acts in HTML and SVG',
  options: z.strictObject({
    scripts: kinds
      .action('remove', ['remove'])
      .describe('Scripts, event handlers, script URLs, frames, objects and refreshes in HTML and SVG'),
    remote_images: z
      .enum(['keep', 'remove'])
      .default('keep')
      .describe('Pictures and style sheets that tell the sender that they were seen'),
  }),
  findings: {
    scripts: {
      about: 'sender',
      text: 'HTML or SVG with scripts or their like',
      enhanced: '5.7.1',
      reply: 'Your message has active content (%{what}), which we do not take: send it without',
      values: ['what'],
    },
    'remote-images': { about: 'sender', text: 'HTML or SVG that fetches pictures or styles from elsewhere' },
    sealed: { about: 'sender', text: 'signed or encrypted: what it fetches from elsewhere was left' },
    'too-big': { about: 'sender', text: 'beyond max_body: HTML was not looked at' },
  },
  setup: ({ options: { scripts, remote_images }, services }) => {
    return class Html extends Milter {
      override async eom(): Promise<void> {
        const isSought = scripts.word !== 'continue' || remote_images === 'remove';
        if (!isSought) return;
        if (!this.message.bodyComplete) {
          services.found(this, 'too-big', { word: 'continue' });
          return;
        }
        const tree = await this.message.mime();
        const pages = (await listParts(tree)).filter(isMarkup);
        if (pages.length === 0) return;
        await this.#findScripts(pages);
        if (remote_images === 'remove') await this.#findImages(tree, pages);
      }

      async #findScripts(pages: readonly Part[]): Promise<void> {
        const active = await collect(pages, findActiveContent);
        if (active.length === 0) return;
        const what = named(active);
        services.found(this, 'scripts', scripts, {
          note: what,
          values: { what },
          ...(scripts.word === 'remove' ? { change: inEveryPage(cleanHtmlPart) } : {}),
        });
      }

      async #findImages(tree: MimeMessage, pages: readonly Part[]): Promise<void> {
        const remote = await collect(pages, findRemoteImages);
        if (remote.length === 0) return;
        const note = named(remote);
        const seal = sealOf(tree);
        if (seal !== undefined)
          services.found(this, 'sealed', { word: 'continue' }, { note: `${seal}: ${note}` });
        else {
          services.found(
            this,
            'remote-images',
            { word: 'remove' },
            { note, change: inEveryPage(removeRemoteImages) },
          );
        }
      }
    };
  },
});

type Look = (part: Part) => Promise<readonly HtmlRemoval[]>;

async function collect(pages: readonly Part[], look: Look): Promise<readonly HtmlRemoval[]> {
  const found: HtmlRemoval[] = [];
  for (const page of pages) for (const removal of await look(page)) found.push(removal);
  return found;
}

/** Looks anew: other modules may have changed the message since. */
function inEveryPage(clean: Look): Change {
  return async (message) => {
    const tree = await message.mime();
    for (const part of await listParts(tree)) {
      // A part of which readers take another reading may have gone meanwhile.
      if (tree.has(part) && isMarkup(part)) await clean(part);
    }
  };
}

/** The names of elements and attributes, each once: letters from mail, but no others. */
function named(removals: readonly HtmlRemoval[]): string {
  const names = new Set<string>();
  for (const { name } of removals) {
    names.add(name.replace(/[^\w!?:-]/g, '').slice(0, 30));
    if (names.size > MAX_NAMED) break;
  }
  const shown = [...names].slice(0, MAX_NAMED).join(' ');
  return names.size > MAX_NAMED ? `${shown} …` : shown;
}
