/** The texts that explain: those that are built in, and the postmaster's own. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { BadValue, kinds, reporting, Template } from '../../kit.ts';

/** One text. */
export interface Explanation {
  readonly subject: Template;
  readonly body: Template;
}

/** What may stand in a text besides what may in every one. */
export const VALUES = ['subject', 'recipients', 'reason', 'checked', 'spf'] as const;

const MAX_SIZE = 64 * 1024;
const MAX_FILES = 200;

/** As pymilter called them. */
const OLD_NAMES: Readonly<Record<string, string>> = {
  'three-strikes': 'strike3',
  'helo-fail': 'heloerror',
};

const SUBJECT = 'Your message to %{recipients} may look forged';

const HEAD = `This message was written by the mail server %{hostname}.

It has a message that says it is from you:

    From:     %{sender}
    To:       %{recipients}
    Subject:  %{subject}
    Sent by:  %{client} (%{helo})

`;

const TAIL = `If you did not send it, somebody has forged your address: you need not do
anything, and we apologize for the trouble. An SPF record of your domain that
ends in "-all" has such mail refused without anybody telling you.

If you did send it, it is on its way to its recipients: do not send it again.
But have somebody who looks after your mail read this message. Others may
refuse mail like yours, or take it for spam.
`;

const BUILT_IN: Readonly<Record<string, string>> = {
  softfail: `What is wrong: the domain %{checked} says in its SPF record that its mail is
probably not sent by %{client}.

What to do: send by the mail server of your own provider, with its user name
and password. Whoever looks after %{checked} can add the server to the
SPF record, if it is a right one. If the message was forwarded, whoever
forwards it should rewrite the sender (SRS).

`,
  'three-strikes': `What is wrong: nothing tells whose server %{client} is. No PTR record of the
address leads back to it, the name %{helo} by which it calls itself
is not its own, and %{checked} does not vouch for it by an SPF record.

What to do: whoever looks after the server gives it one of the three, best of
all an SPF record of %{checked} that names it.

`,
  access: `Why you are asked: the postmaster of %{hostname} wants it of all mail like
this one. Nothing need be wrong with yours.

`,
  default: `What is wrong: %{reason}

`,
};

/** Those of the postmaster, and of those left out the built-in ones. */
export class Explanations {
  readonly #own: ReadonlyMap<string, Explanation>;
  readonly #builtIn = new Map(
    Object.entries(BUILT_IN).map(([name, text]) => [
      name,
      parse(`Subject: ${SUBJECT}\n\n${HEAD}${text}${TAIL}`),
    ]),
  );

  constructor(own: ReadonlyMap<string, Explanation> = new Map()) {
    this.#own = own;
  }

  /** The names of the postmaster's files, without their ending. */
  get names(): readonly string[] {
    return [...this.#own.keys()];
  }

  /** @param finding its whole name */
  of(finding: string, module: string): Explanation {
    const names = namesFor(finding, module);
    const found =
      names.map((name) => this.#own.get(name)).find((one) => one !== undefined) ??
      this.#own.get('default') ??
      names.map((name) => this.#builtIn.get(name)).find((one) => one !== undefined) ??
      this.#builtIn.get('default');
    if (found === undefined) throw new Error('no text is built in');
    return found;
  }
}

/** By which names a finding's text may go: `spf-softfail`, `softfail`, what pymilter called it, and `spf`. */
export function namesFor(finding: string, module: string): readonly string[] {
  const short = finding.slice(module.length + 1);
  const old = OLD_NAMES[short];
  return [finding, short, ...(old === undefined ? [] : [old]), module];
}

/** The folder of the postmaster's texts, read; empty for none. */
export const explanations = kinds
  .givenPath('')
  .transform((path, context) =>
    reporting({ value: path, issues: context.issues }, () =>
      path === undefined ? new Explanations() : new Explanations(readFolder(path)),
    ),
  );

function readFolder(path: string): ReadonlyMap<string, Explanation> {
  const files = reading(path, () => readdirSync(path)).filter((name) => name.endsWith('.txt'));
  if (files.length === 0)
    throw new BadValue(
      `${JSON.stringify(path)} has no text: write softfail.txt, or "" for the built-in ones`,
    );
  if (files.length > MAX_FILES)
    throw new BadValue(`${JSON.stringify(path)} has more than ${MAX_FILES} texts`);
  return new Map(
    files.map((file) => [file.replace(/\.txt$/, ''), reading(file, () => parse(readText(join(path, file))))]),
  );
}

function readText(path: string): string {
  const file = statSync(path);
  if (!file.isFile()) throw new BadValue('is no file');
  if (file.size > MAX_SIZE) throw new BadValue(`is larger than ${MAX_SIZE / 1024} KiB`);
  return readFileSync(path, 'utf8');
}

/** Names the file in what goes wrong. */
function reading<T>(file: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof BadValue) throw new BadValue(`${file} ${error.message}`);
    throw new BadValue(`${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** A line `Subject: …` and an empty one may stand before the text; no other header may. */
function parse(text: string): Explanation {
  const lines = text.replace(/^\ufeff/, '').split(/\r?\n/);
  const [, subject] = /^subject:(.*)$/i.exec(lines[0] ?? '') ?? [];
  if (subject === undefined) {
    if (/^[\w-]+:\s/.test(lines[0] ?? ''))
      throw new BadValue('begins with a header: only "Subject: …" may stand there, then an empty line');
    return { subject: new Template(SUBJECT, VALUES), body: new Template(lines.join('\n'), VALUES) };
  }
  if (lines[1]?.trim() !== '') throw new BadValue('needs an empty line after the line "Subject: …"');
  return {
    subject: new Template(subject.trim(), VALUES),
    body: new Template(lines.slice(2).join('\n'), VALUES),
  };
}
