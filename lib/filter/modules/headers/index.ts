/** What the header of a message says, and what must not leave the house in it. */
import { Milter } from '../../../index.ts';
import {
  clientFact,
  defineModule,
  directionFact,
  findWord,
  headerSize,
  readable,
  readMailboxes,
  whoRole,
} from '../../kit.ts';
import { add, remove, replace, stripReceived } from './edits.ts';
import { options } from './options.ts';

/** Any encoded word, with its charset. */
const ENCODED_WORD = /=\?([^?*\s]{1,60})(?:\*[^?\s]*)?\?[bq]\?/gi;
/** Of any field: all but tab and the ends of folded lines. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: finding control characters is the point.
const CONTROL = /[\0-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)|\n(?![ \t])/;
/** Shorter ones say nothing. */
const MIN_MESSAGE_ID = 4;

export default defineModule({
  name: 'headers',
  about: 'What the header of a message says',
  options,
  needs: [
    {
      module: 'networks',
      why: 'which knows the internal machines of strip_received',
      when: ({ strip_received }) => !strip_received.empty,
    },
  ],
  findings: {
    'subject-words': {
      about: 'message',
      text: 'a word in the subject that is not wanted here',
      reply: 'We take no mail with such a subject',
    },
    'from-words': {
      about: 'from',
      text: 'a word in the sender’s name that is not wanted here',
      reply: 'We take no mail with such a name of the sender',
    },
    charsets: {
      about: 'message',
      text: 'a charset that nobody here reads',
      reply: 'Your message is in the character set %{charset}, which nobody here reads',
      values: ['charset'],
    },
    mailers: {
      about: 'message',
      text: 'a program that no decent mail is written with',
      reply: 'We take no mail that was written with %{mailer}',
      values: ['mailer'],
    },
    'message-id-missing': {
      about: 'message',
      text: 'no Message-ID',
      enhanced: '5.6.0',
      reply: 'Your message has no Message-ID (RFC 5322 section 3.6.4)',
    },
    future: {
      about: 'message',
      text: 'a date in the future',
      enhanced: '5.6.0',
      reply: 'The date of your message is in the future: please set the clock right',
    },
    broken: {
      about: 'message',
      text: 'a broken header',
      enhanced: '5.6.0',
      reply: 'The header of your message is broken: %{what} (RFC 5322 section 3.6)',
      values: ['what'],
    },
    'max-size': {
      about: 'message',
      text: 'a header section that is too large',
      code: 552,
      enhanced: '5.3.4',
      reply: 'The header of your message has more than %{most} bytes',
      values: ['most'],
    },
  },
  setup: ({ options, services }) =>
    class Headers extends Milter {
      override async eom(): Promise<void> {
        if (headerSize(this.message) > options.max_size) {
          const values = { most: String(options.max_size) };
          services.found(this, 'max-size', { word: 'reject' }, { values });
        }
        this.#checkWords();
        this.#checkForm();
        if (!options.charsets.empty) await this.#checkCharsets();
        this.#registerEdits();
      }

      #checkWords(): void {
        const { headers } = this.message;
        for (const { value } of headers.getAll('Subject')) {
          const word = findWord(options.subject_words, readable(value));
          if (word !== undefined) services.found(this, 'subject-words', options.words_action, { note: word });
        }
        if (options.from_words.empty) return;
        const names = headers.getAll('From').flatMap(({ value }) => readMailboxes(value));
        for (const { name } of names) {
          const word = findWord(options.from_words, readable(name));
          if (word === undefined) continue;
          services.found(this, 'from-words', options.words_action, { note: word });
          break;
        }
      }

      #checkForm(): void {
        const { headers } = this.message;
        const mailer = headers
          .getAll('X-Mailer')
          .map(({ value }) => readable(value).trim())
          .find((one) => options.mailers.matches(one));
        if (mailer !== undefined)
          services.found(this, 'mailers', options.mailer_action, { values: { mailer }, note: mailer });
        const id = headers.get('Message-ID')?.value.trim() ?? '';
        if (clientFact.get(this).kind === 'external' && id.length < MIN_MESSAGE_ID)
          services.found(this, 'message-id-missing', options.message_id_missing);
        const date = readDate(headers.get('Date')?.value);
        if (date !== undefined && date > services.now() + options.future_after) {
          services.found(this, 'future', options.future, { note: new Date(date).toUTCString() });
        }
        const what = faultOf(this);
        if (what !== undefined)
          services.found(this, 'broken', options.broken, { values: { what }, note: what });
      }

      async #checkCharsets(): Promise<void> {
        const { message } = this;
        const inHeaders = [...message.headers].flatMap(({ value }) =>
          [...value.matchAll(ENCODED_WORD)].map(([, charset = '']) => charset),
        );
        let charset = inHeaders.find((one) => options.charsets.matches(one));
        if (charset === undefined && message.bodyComplete) {
          const tree = await message.mime();
          for (const part of tree.root.walk()) {
            const { charset: of = '' } = part.contentTypeParameters;
            if (part.contentType.startsWith('text/') && options.charsets.matches(of)) charset ??= of;
          }
        }
        if (charset !== undefined)
          services.found(this, 'charsets', options.charset_action, { values: { charset }, note: charset });
      }

      #registerEdits(): void {
        const who = services.role(whoRole);
        if (!options.strip_received.empty && who !== undefined && clientFact.get(this).kind !== 'external') {
          services.change(this, async (message, recipients) => {
            if (recipients.every((address) => options.strip_received.has(address))) {
              await stripReceived(message, this, who);
            }
          });
        }
        if (!options.remove.empty && directionFact.get(this) === 'outgoing') {
          services.change(this, (message) => remove(message, options.remove));
        }
        if (options.replace.length > 0) {
          services.change(this, (message) => replace(message, options.replace));
        }
        if (options.add.length > 0) {
          const fields = options.add.map(
            ({ name, value }) => [name, services.fill(this, value, undefined)] as const,
          );
          services.change(this, (message) => add(message, fields));
        }
      }
    },
});

/** What is wrong with the header; undefined where nothing is. */
function faultOf({ message: { headers } }: Milter): string | undefined {
  for (const { name, value } of headers) {
    if (CONTROL.test(value)) return `control characters in ${name}`;
  }
  for (const name of ['From', 'Subject']) {
    const all = headers.getAll(name);
    if (all.length > 1) return `${all.length} fields ${name}`;
    if (all.some(({ value }) => CONTROL.test(readable(value)))) return `control characters in ${name}`;
  }
  return (headers.get('From')?.value.trim() ?? '') === '' ? 'no From' : undefined;
}

/** A date in milliseconds since 1970; undefined for none. Names of time zones that nobody knows are Greenwich. */
function readDate(value: string | undefined): number | undefined {
  if (value === undefined || value.length > 200) return undefined;
  const plain = value.replace(/\([^()]*\)/g, ' ').trim();
  const date = [plain, plain.replace(/[a-z]+$/i, 'GMT')]
    .map((text) => Date.parse(text))
    .find((one) => !Number.isNaN(one));
  return date;
}
