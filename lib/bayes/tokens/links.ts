/** What the addresses of links tell. */

/** Links of one text that are looked at. */
const MOST = 200;
/** Parts of a path, and labels of a host, that are told. */
const PARTS = 8;

const LINK = /\b(?:https?|ftp):[\\/]{2,}[^\s<>"'`{}|^]{1,1000}|\bwww\.[^\s<>"'`{}|^]{1,1000}/gi;

/** The links in a text. */
export function linksIn(text: string): readonly string[] {
  const found: string[] = [];
  for (const [link] of text.matchAll(LINK)) {
    found.push(link);
    if (found.length >= MOST) break;
  }
  return found;
}

/** The text without its links. */
export function withoutLinks(text: string): string {
  return text.replace(LINK, ' ');
}

/** Tokens of a link: its host and the domains above, the words of its path. */
export function linkTokens(link: string): readonly string[] {
  const mailbox = /^mailto:[^?]{0,100}@([^?,@\s]{1,255})/i.exec(link)?.[1];
  if (mailbox !== undefined) return [`mailto:${mailbox.toLowerCase()}`];
  const whole = link
    .toLowerCase()
    .replace(/^www\./, 'http://www.')
    .replace(/^(?:[\\/]{2})/, 'http://');
  const [, scheme, authority, path] =
    /^(https?|ftp):[\\/]{2,}([^\\/?#]{0,300})([\s\S]{0,700})/.exec(whole) ?? [];
  if (authority === undefined || scheme === undefined) return [];
  const tokens: string[] = [];
  const at = authority.lastIndexOf('@');
  if (at >= 0) tokens.push('url:user');
  const [host = '', port] = authority.slice(at + 1).split(':');
  if (port !== undefined && port !== '' && port !== '80' && port !== '443')
    tokens.push(`url:port ${port.slice(0, 5)}`);
  if (/^[\d.]+$|^0x/.test(host)) {
    const bytes = host.split('.');
    tokens.push('url:ip', `url:${host.slice(0, 40)}`, `url:${bytes.slice(0, 2).join('.').slice(0, 20)}`);
  } else {
    const labels = host
      .replace(/^www\d?\./, '')
      .split('.')
      .filter((label) => label !== '');
    for (let from = Math.max(0, labels.length - PARTS); from < labels.length; from++)
      tokens.push(`url:${labels.slice(from).join('.').slice(0, 100)}`);
  }
  const words = (path ?? '').match(/[\p{L}\p{N}]{3,20}/gu) ?? [];
  for (const word of words.slice(0, PARTS)) tokens.push(`url/${word}`);
  if (/%[0-9a-f]{2}/.test(path ?? '')) tokens.push('url:escaped');
  return tokens;
}
