/** The command `milter spf`: ask SPF by hand. */
import type { Resolver } from '../dns/index.ts';
import { createResolver } from '../dns/index.ts';
import { optionFault } from '../options.ts';
import type { CheckResult, LintNode, LintReport, TraceStep } from '../spf/index.ts';
import { checkHost, isSpfRecord, lintDomain } from '../spf/index.ts';
import { printable, toJson } from './printable.ts';
import { readArguments } from './usage.ts';

/** Where the command writes, and whom it asks. */
export interface SpfIo {
  readonly stdout: { write(text: string): unknown };
  /** In place of name servers. */
  readonly resolver?: Resolver;
}

const USAGE = `Usage: milter spf [options] IP SENDER HELO    may the client at IP send mail from SENDER?
       milter spf [options] DOMAIN            show and judge the record of DOMAIN

  --record TEXT     take this record in place of the published one
  --receiver NAME   this host's name, for the macro %{r}
  --lax             look beyond mistakes in the record, and say what it meant
  --server ADDRESS  ask this name server (192.0.2.1, [2001:db8::1]:53); may be repeated
  --json            print JSON
  --help            show this

A SENDER of "<>" checks the HELO name.
Exit status of a check: 0, whatever its result. Of a look at a DOMAIN: 0, or 1 when there is an error in its record.
2 for wrong arguments.
`;

const OPTIONS = {
  record: { type: 'string' },
  receiver: { type: 'string' },
  lax: { type: 'boolean' },
  server: { type: 'string', multiple: true },
  json: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;

/**
 * Runs `milter spf` with the arguments behind that, and resolves to the exit status.
 * @throws MilterError `ERR_MILTER_OPTION` (the promise rejects) for wrong arguments
 */
export async function runSpf(args: readonly string[], io: SpfIo): Promise<number> {
  const { values, positionals } = readArguments(args, OPTIONS);
  if (values.help === true) {
    io.stdout.write(USAGE);
    return 0;
  }
  if (values.record !== undefined && !isSpfRecord(values.record))
    throw optionFault(`--record must be "v=spf1", or begin with it and a space, got "${values.record}"`);
  if (positionals.length !== 1 && positionals.length !== 3)
    throw optionFault(`expected IP SENDER HELO or DOMAIN, got ${positionals.length} arguments`);
  const print = (json: unknown, text: string): void => {
    io.stdout.write(values.json === true ? toJson(json) : text);
  };
  try {
    const resolver = io.resolver ?? createResolver({ ...(values.server && { servers: values.server }) });
    const [first = '', sender = '', helo = ''] = positionals;
    if (positionals.length === 1) {
      const report = await lintDomain(first, resolver, values.record);
      print(report, formatLint(report));
      return report.findings.some(({ severity }) => severity === 'error') ? 1 : 0;
    }
    const steps: TraceStep[] = [];
    const { record, receiver, lax } = values;
    const check = await checkHost({
      ip: first,
      sender,
      helo,
      resolver,
      trace: (step) => steps.push(step),
      ...(record !== undefined && { record }),
      ...(receiver !== undefined && { receiver }),
      ...(lax !== undefined && { lax }),
    });
    print({ ...check, steps: steps.map(withText) }, formatCheck(check, steps));
    return 0;
  } catch (error) {
    // An address or a name server that is none.
    if (!(error instanceof TypeError && 'code' in error && error.code === 'ERR_MILTER_ARGUMENT')) throw error;
    throw optionFault(error.message);
  }
}

/** TXT records as text, one character per byte, like every record in the result. */
function withText(step: TraceStep): object {
  if (step.step !== 'query' || step.answer.status !== 'ok') return step;
  const records = step.answer.records.map((record) =>
    Array.isArray(record) ? Buffer.concat(record).toString('latin1') : record,
  );
  return { ...step, answer: { ...step.answer, records } };
}

function formatCheck(check: CheckResult, steps: readonly TraceStep[]): string {
  const lines = [
    ['result', check.result],
    ['meant', check.meant],
    ['mechanism', check.mechanism],
    ['explanation', check.explanation || undefined],
    ['problem', check.problem],
    ['domain', `${check.domain} (${check.identity})`],
    ['lookups', `${check.lookups} of 10, ${check.voidLookups} of 2 void`],
  ]
    .filter(([, value]) => value !== undefined)
    .map(([name = '', value = '']) => `${`${name}:`.padEnd(13)}${printable(value)}`);
  return `${[...lines, '', ...steps.map(formatStep)].join('\n')}\n`;
}

function formatStep(step: TraceStep): string {
  const indent = '    '.repeat(step.depth);
  switch (step.step) {
    case 'record':
      return `${indent}${printable(step.domain)}: ${printable(step.record)}`;
    case 'term':
      return `${indent}  ${step.lookups}. ${printable(step.term)}`;
    case 'match':
      return `${indent}  matches: ${printable(step.term)}`;
    case 'query': {
      const { name, type, answer } = step;
      const found = answer.status === 'ok' ? `${answer.records.length} found` : answer.status;
      return `${indent}  ? ${type} ${printable(name)}: ${found}`;
    }
  }
}

function formatLint({ tree, lookups, voidLookups, findings }: LintReport): string {
  const lines = [...formatNode(tree, 0), '', `lookups: ${lookups} of 10, ${voidLookups} of 2 void`];
  for (const { severity, domain, term, message } of findings) {
    lines.push(printable(`${severity}: ${domain}: ${term === undefined ? '' : `${term}: `}${message}`));
  }
  if (findings.length === 0) lines.push('nothing to complain about');
  return `${lines.join('\n')}\n`;
}

function formatNode({ domain, record, term, lookups, children }: LintNode, depth: number): string[] {
  const head = `${term ?? domain} (lookups ${lookups}): ${record ?? 'no SPF record'}`;
  return [
    '    '.repeat(depth) + printable(head),
    ...children.flatMap((child) => formatNode(child, depth + 1)),
  ];
}
