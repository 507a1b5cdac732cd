/** The command `milter srs`: for postmasters who look into a bounce. */
import { batvOptions, type Signing, sesOptions, signingIn } from '../filter/index.ts';
import { optionFault } from '../options.ts';
import { createBatv, createSes, createSrs, SrsError } from '../srs/index.ts';
import { readChosen } from './config-file.ts';
import { printable, toJson } from './printable.ts';
import { type CommandIo, readArguments } from './usage.ts';

const USAGE = `Usage: milter srs [options] forward ADDRESS    what mail from ADDRESS is sent on with
       milter srs [options] reverse ADDRESS    what ADDRESS was made of, when, and whether that is right

By the secrets of module srs. Reverse knows what is rewritten (SRS0, SRS1) and what is signed (SRS0, SES, prvs).

  --config FILE       the configuration (default: that of milter run)
  --json              print JSON
  --help              show this

Exit status: 0; 1 when the address is forged, expired or garbled, or cannot be rewritten; 2 for wrong arguments.
`;

const OPTIONS = {
  config: { type: 'string' },
  json: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;

/** What is told of an address, line by line; what is undefined is left out. */
type Told = Readonly<Record<string, string | undefined>>;

/** Runs `milter srs` with the arguments behind that, and resolves to the exit status. */
export async function runSrs(args: readonly string[], io: CommandIo): Promise<number> {
  const { values, positionals } = readArguments(args, OPTIONS);
  if (values.help === true) {
    io.stdout.write(USAGE);
    return 0;
  }
  const [what, address, ...more] = positionals;
  if ((what !== 'forward' && what !== 'reverse') || address === undefined || more.length > 0)
    throw optionFault('expected forward ADDRESS or reverse ADDRESS');
  const signing = signingIn(await readChosen(values.config));
  if (signing === undefined) throw optionFault('no module "srs" with secrets is configured');
  try {
    const { told, fault } = what === 'forward' ? forward(address, signing) : reverse(address, signing);
    io.stdout.write(values.json === true ? toJson({ ...told, fault: fault?.fault }) : lines(told));
    if (fault !== undefined) io.stderr.write(`milter srs: ${fault.message}\n`);
    return fault === undefined ? 0 : 1;
  } catch (error) {
    if (!(error instanceof SrsError)) throw error;
    io.stderr.write(`milter srs: ${printable(error.message)}\n`);
    return 1;
  }
}

interface Found {
  readonly told: Told;
  readonly fault: SrsError | undefined;
}

function forward(address: string, { domain, ...how }: Signing): Found {
  if (domain === undefined) throw optionFault('module "srs" has no domain to which it could rewrite');
  return { told: { address: createSrs(how).forward(address, domain) }, fault: undefined };
}

function reverse(address: string, signing: Signing): Found {
  const { domain: _, ...how } = signing;
  const { secrets } = how;
  const [, tag = ''] = /^<?"?(SES=|prvs=)/i.exec(address) ?? [];
  switch (tag.toLowerCase()) {
    case 'ses=': {
      const report = createSes(sesOptions(signing, Date.now)).inspect(address);
      const { signedAt } = report;
      return {
        told: {
          address: report.address,
          kind: 'SES: signed for one message',
          hash: hashOf(report.secret, secrets.length),
          signed: signedAt === undefined ? 'for ever' : new Date(signedAt).toISOString(),
        },
        fault: report.fault,
      };
    }
    case 'prvs=': {
      const options = batvOptions(signing, Date.now);
      const report = createBatv(options).inspect(address);
      return {
        told: {
          address: report.address,
          kind: 'BATV: signed for a day',
          hash: hashOf(report.secret, secrets.length),
          age: ageOf((options.maxAge - report.left + 1000) % 1000, options.maxAge),
        },
        fault: report.fault,
      };
    }
    default: {
      const report = createSrs(how).inspect(address);
      return {
        told: {
          address: report.address,
          kind: report.signed
            ? 'SRS0: signed for its own domain'
            : report.kind === 'SRS0'
              ? 'SRS0: rewritten to be sent on'
              : 'SRS1: rewritten by a second forwarder, from that of the first',
          hash: `${hashOf(report.secret, secrets.length)}${report.smashed ? '; its case was changed on the way' : ''}`,
          age: report.age === undefined ? undefined : ageOf(report.age, how.maxAge),
        },
        fault: report.fault,
      };
    }
  }
}

function hashOf(secret: number | undefined, secrets: number): string {
  return secret === undefined
    ? `not by any of the ${secrets} secrets, or too short`
    : `right, by secret ${secret + 1} of ${secrets}`;
}

function ageOf(days: number, most: number): string {
  return `${days} days, of ${most} allowed`;
}

function lines(told: Told): string {
  return Object.entries(told)
    .filter(([, value]) => value !== undefined)
    .map(([name, value = '']) => `${name.padEnd(9)}${printable(value)}\n`)
    .join('');
}
