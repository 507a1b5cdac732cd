/** What the header section tells. */
import type { Header } from '../../headers.ts';
import { decodeWords } from '../../mime/index.ts';
import { plainText } from './plain.ts';
import { pairsOf, wordsOf } from './words.ts';

/** Fields that are looked at: more is written by nobody honest, and one token says so. */
const MOST = 200;
/** Characters of one field. */
const LONGEST = 4_000;
const MOST_RECEIVED = 8;

/** What other filters, mail stores and readers wrote, and what is new in every message. */
const IGNORED =
  /^(?:x-spam.*|x-bogosity|x-bayes.*|x-milter.*|x-virus.*|x-amavis.*|x-rspamd.*|x-dspam.*|x-crm114.*|x-gmail.*|x-microsoft-antispam.*|x-forefront.*|x-ms-exchange.*|x-quarantine.*|status|x-status|x-keywords|x-uid.*|x-mozilla.*|x-evolution.*|x-pstn.*|x-proofpoint.*|authentication-results|arc-.*|dkim-signature|domainkey-signature|received-spf|lines|content-length|bytes|xref|nntp-.*|delivered-to|x-original-to|x-envelope-.*|return-path|x-folder|x-loop-.*|replied|forwarded|list-(?!id$).*|errors-to|x-beenthere|x-mailman-.*)$/;
/** Whose words are told by the field's name. */
const SPOKEN = new Set([
  'subject',
  'from',
  'to',
  'cc',
  'reply-to',
  'sender',
  'organization',
  'x-mailer',
  'user-agent',
  'list-id',
  'precedence',
  'content-type',
  'comments',
  'keywords',
  'importance',
  'x-priority',
  'x-msmail-priority',
  'mime-version',
  'content-transfer-encoding',
  'x-mimeole',
  'x-originating-ip',
  'x-sender',
  'in-reply-to',
  'content-class',
  'priority',
  'x-accept-language',
  'content-language',
]);

/** Tokens of the fields. */
export function headerTokens(fields: Iterable<Header>): readonly string[] {
  const tokens: string[] = [];
  let count = 0;
  let received = 0;
  for (const field of fields) {
    if (++count > MOST) {
      tokens.push('header:many');
      break;
    }
    const name = field.name.toLowerCase().slice(0, 60);
    if (IGNORED.test(name)) continue;
    if (name === 'received') {
      if (received++ < MOST_RECEIVED) addReceived(tokens, field.value.slice(0, LONGEST));
      continue;
    }
    tokens.push(`header:${name}`);
    if (name === 'message-id') addMessageId(tokens, field.value);
    else if (name === 'date') addDate(tokens, field.value);
    else if (SPOKEN.has(name)) addWords(tokens, name, field.value.slice(0, LONGEST));
  }
  return tokens;
}

function addWords(tokens: string[], name: string, value: string): void {
  const { words, more } = wordsOf(plainText(decodeWords(value)));
  // A subject's words are the same as in texts: what is said there is said here.
  const prefix = name === 'subject' ? '' : `${name}:`;
  for (const word of [...words, ...more]) tokens.push(prefix + word);
  if (name === 'subject') tokens.push(...pairsOf(words));
  const charset = /=\?([\w-]{1,30})\?/.exec(value)?.[1];
  if (charset !== undefined) tokens.push(`${name}:charset ${charset.toLowerCase()}`);
  if (name === 'subject' && /\s{6,}\S/.test(value)) tokens.push('subject:gap');
}

/** Networks, and the domains of names. */
function addReceived(tokens: string[], value: string): void {
  for (const [, a, b, c] of value.matchAll(/(?<![\d.])(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.\d{1,3}(?![\d.])/g))
    tokens.push(`received:${a}.${b}`, `received:${a}.${b}.${c}`);
  for (const found of value.toLowerCase().match(/[\w.-]+/g) ?? []) {
    const domain = /^(?:[a-z0-9_-]{1,63}\.){0,8}([a-z0-9_-]{1,63}\.[a-z]{2,20})$/.exec(found)?.[1];
    if (domain !== undefined) tokens.push(`received:${domain}`);
  }
}

function addMessageId(tokens: string[], value: string): void {
  const domain = /@([^\s>@]{1,100})/.exec(value)?.[1];
  tokens.push(`message-id:${domain?.toLowerCase() ?? 'none'}`);
}

function addDate(tokens: string[], value: string): void {
  const zone = /([+-]\d{4})\b/.exec(value)?.[1] ?? /\b([A-Z]{2,4})\s*$/.exec(value)?.[1];
  tokens.push(`date:${zone ?? 'none'}`);
}
