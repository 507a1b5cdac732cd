import { basename } from 'node:path';
import { describe, expect, it } from 'vitest';
import { holdsMessage } from '../../lib/mime/content-fields.ts';
import { type Part, parseMessage } from '../../lib/mime/index.ts';
import { haveMimeCases, mimeCases } from './mime-cases.ts';

/**
 * Where mime4j's statement is not what we do, and why.
 */
const differences: Readonly<Record<string, string>> = {
  'malformedHeader-noheader':
    'stated for a mode in which text without any field is all header; we take it for a body, as that mail itself asks for',
  'malformedHeaderStartsBody-noheader':
    'the statement lacks the second line of the body that the mail itself asks for',
  'malformedHeaderStartsBody-nocrlfcrlf':
    'stated for a mode in which an odd line ends the header; we go on, as malformedHeader-nocrlfcrlf states, so that no type declared behind it slips by',
};

/** The tree in mime4j's words, line ends and empty preambles aside. */
function describePart(part: Part, isRoot: boolean): string {
  const fields = [...part.headers].map(({ name, raw }) => `<field>${name}:${raw.toString('latin1')}</field>`);
  const header = `<header>${fields.join('')}</header>`;
  const isMessage = isRoot || (part.parent !== undefined && holdsMessage(part.parent.contentType));
  const tag = isMessage ? 'message' : 'body-part';
  return `<${tag}>${header}${describeBody(part)}</${tag}>`;
}

function describeBody(part: Part): string {
  const children = part.children.map((child) => describePart(child, false)).join('');
  if (holdsMessage(part.contentType) && part.children.length > 0) return children;
  if (part.contentType.startsWith('multipart/')) return `<multipart>${children}</multipart>`;
  return `<body>${part.bodyBytes().toString('latin1')}</body>`;
}

/** mime4j's file in the same form: preamble and epilogue are bytes between parts, which fidelity tests cover. */
function readStatement(xml: string): string {
  return xml
    .replace(/<(preamble|epilogue)>[\s\S]*?<\/\1>/g, '')
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&amp;', '&');
}

/** White space is not what is compared here: the statements add and normalise line ends. */
function squeeze(text: string): string {
  return text.replace(/\s+/g, '').replaceAll('<', '\n<');
}

const statements = mimeCases((path) => /mime4j.*\.xml$/.test(path) && !path.endsWith('_decoded.xml'));
const inputs = new Map(
  mimeCases((path) => /mime4j.*\.msg$/.test(path)).map(({ name, bytes }) => [basename(name, '.msg'), bytes]),
);

describe.skipIf(!haveMimeCases)('the structure that mime4j states', () => {
  it.each(statements.map(({ name, bytes }) => ({ name: basename(name, '.xml'), bytes })))(
    'is found in $name',
    ({ name, bytes }) => {
      const input = inputs.get(name);
      if (!input) throw new Error(`no mail ${name}.msg beside its statement`);
      const found = squeeze(describePart(parseMessage(input).root, true));
      const stated = squeeze(readStatement(bytes.toString('latin1')));
      if (differences[name] === undefined) expect(found).toBe(stated);
      else expect(found, 'a listed difference is none').not.toBe(stated);
    },
  );
});
