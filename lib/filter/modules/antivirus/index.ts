/** Viruses: a scanner looks at the whole message, and at its parts as their readers decode them. */
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { type Message, Milter } from '../../../index.ts';
import { defaultWarning, disarm, type MimeMessage, plainName } from '../../../mime/index.ts';
import { Clamd, type ScannerAddress, ScannerError } from '../../../scanners/index.ts';
import { type AskOptions, type Change, defineModule, kinds, messageSize, z } from '../../kit.ts';
import { areKnown, type KnownContents, partsToScan, scanParts, virusIn } from './parts.ts';
import { openScanner, SCAN_TIME, type VirusScanner } from './scanner.ts';

/** Milliseconds for what other modules have changed in a message since it was scanned. */
const CHANGE_TIME = 10_000;
/** Parts that a note names. */
const MAX_NAMED = 5;
/** Characters of a name in a reply. */
const MAX_NAME = 60;
/** Milliseconds that `milter check` gives the scanner, and bytes of its trial. */
const CHECK_TIME = 10_000;
const MAX_TRIAL = 256 * 2 ** 20;

const options = z
  .strictObject({
    clamd: kinds
      .endpoint('')
      .describe(
        'Where clamd listens: "unix:/run/clamav/clamd.ctl", "tcp:127.0.0.1:3310"; "": it is not asked',
      ),
    command: z
      .array(z.string().regex(/^[^\0]*$/, 'must not hold a NUL'))
      .default([])
      .refine(([program = '/']) => program.startsWith('/'), 'must begin with the absolute path of a program')
      .describe(
        'A program and its arguments: the message on its standard input; exit 0 clean, 1 found, else failed',
      ),
    infected: kinds
      .action('reject', ['defang'])
      .describe('What follows from a virus; "defang" puts a warning in the place of the part that has it'),
    max_size: kinds.size('25MiB').describe('Larger messages are not scanned'),
    unscanned: kinds.action('continue').describe('What follows from a message that is not scanned'),
  })
  .refine(({ clamd, command }) => clamd === undefined || command.length === 0, {
    path: ['command'],
    error: 'cannot stand beside clamd: use the module twice, under two names',
  });

/** What was found in a message. */
interface Scanned {
  /** In the whole of it. */
  readonly virus: string | undefined;
  readonly infected: readonly { readonly name: string; readonly virus: string }[];
  readonly isIntricate: boolean;
}

export default defineModule({
  name: 'antivirus',
  about: 'Viruses, found by clamd or a command',
  unsparing: true,
  concernsExempt: true,
  options,
  findings: {
    infected: {
      about: 'sender',
      text: 'a virus',
      enhanced: '5.7.1',
      reply: 'We do not take your message: a virus was found in it (%{virus})',
      values: ['virus', 'name'],
    },
    unscanned: {
      about: 'sender',
      text: 'not scanned for viruses',
      code: 552,
      enhanced: '5.3.4',
      reply: 'Your message cannot be scanned for viruses: %{reason}',
      values: ['reason'],
    },
  },
  check: async ({ clamd, command, max_size }) => {
    if (clamd !== undefined) return await checkClamd(clamd, max_size);
    const [program] = command;
    if (program === undefined) return ['neither clamd nor command is given: nothing is scanned'];
    return await access(program, constants.X_OK).then(
      () => [],
      (error: Error) => [`the command cannot be run: ${error.message}`],
    );
  },
  setup: ({ options: { clamd, command, infected, max_size, unscanned }, services }) => {
    const [program, ...args] = command;
    const opened = openScanner(clamd, program === undefined ? undefined : [program, ...args], services);
    if (opened === undefined) return undefined;
    const scanner: VirusScanner = opened;
    const count = (result: string): void =>
      services.metrics.count('scans_total', { module: services.name, result });

    class Antivirus extends Milter {
      override async eom(): Promise<void> {
        const { message } = this;
        const size = messageSize(message) ?? 0;
        if (!message.bodyComplete) return this.#unscanned('it is larger than what is looked into');
        if (size > max_size) return this.#unscanned(`it is larger than ${max_size} bytes`);
        const known: KnownContents = new Map();
        const ask = { timeout: services.timeFor(this, SCAN_TIME), signal: message.signal };
        try {
          this.#report(await this.#scan(await message.mime(), known, ask), known);
        } catch (error) {
          if (!(error instanceof ScannerError) || error.fault !== 'too-big') throw error;
          services.log.warn({ error, size }, 'max_size is more than the scanner takes');
          this.#unscanned('it is larger than the scanner takes');
        }
      }

      /** The whole first: where it has a virus its parts matter only to who takes them out. */
      async #scan(tree: MimeMessage, known: KnownContents, ask: AskOptions): Promise<Scanned> {
        return await scanner.scan(async (scan) => {
          const { virus } = await scan(tree.pieces());
          if (virus !== undefined && infected.word !== 'defang')
            return { virus, infected: [], isIntricate: false };
          const { parts, isIntricate } = await partsToScan(tree);
          await scanParts(parts, known, scan);
          const found = parts.flatMap((one) => {
            const inside = virusIn(one, known);
            return inside === undefined
              ? []
              : [{ name: one.part.names[0] ?? one.part.contentType, virus: inside }];
          });
          return { virus, infected: found, isIntricate };
        }, ask);
      }

      #report({ virus, infected: parts, isIntricate }: Scanned, known: KnownContents): void {
        const [first] = parts;
        const name = virus ?? first?.virus;
        if (isIntricate) this.#unscanned('it is too intricate: only the whole, and some parts, were scanned');
        if (name === undefined) {
          if (!isIntricate) count('clean');
          return;
        }
        count('infected');
        const isWhole = infected.word === 'defang' && first === undefined;
        services.found(this, 'infected', isWhole ? { word: 'reject' } : infected, {
          note: noteOf(name, parts, isWhole),
          values: { virus: shown(name), name: shown(first?.name ?? 'the message') },
          ...(infected.word === 'defang' && !isWhole ? { change: disarming(scanner, known, this) } : {}),
        });
      }

      #unscanned(reason: string): void {
        count('unscanned');
        services.found(this, 'unscanned', unscanned, { note: reason, values: { reason } });
      }
    }
    return { Milter: Antivirus, dispose: () => scanner.close() };
  },
});

/** Looks anew, and scans what other modules have changed since. */
function disarming(scanner: VirusScanner, known: KnownContents, { message: { signal } }: Milter): Change {
  return async (message: Message) => {
    const tree = await message.mime();
    const { parts } = await partsToScan(tree);
    if (!areKnown(parts, known)) {
      await scanner.scan((scan) => scanParts(parts, known, scan), { timeout: CHANGE_TIME, signal });
    }
    for (const one of parts) {
      const virus = virusIn(one, known);
      // What was around it, or another reading of it, may have gone meanwhile.
      if (virus === undefined || !tree.has(one.part)) continue;
      const { contentType, names } = one.part;
      const reason = { kind: 'check', text: `a virus was found in it: ${shown(virus)}` } as const;
      disarm(one.part, 'defang', defaultWarning({ reason, contentType, names }, undefined));
    }
  };
}

function noteOf(virus: string, parts: Scanned['infected'], isWhole: boolean): string {
  if (parts.length === 0) return `${shown(virus)}${isWhole ? ', not in a part that could be taken out' : ''}`;
  const named = parts.slice(0, MAX_NAMED).map((part) => `${shown(part.name)}: ${shown(part.virus)}`);
  return [...named, ...(parts.length > MAX_NAMED ? [`${parts.length - MAX_NAMED} more`] : [])].join('; ');
}

function shown(name: string): string {
  return plainName(name).slice(0, MAX_NAME);
}

/** That it cannot be reached is said of every server. */
async function checkClamd(address: ScannerAddress, maxSize: number): Promise<readonly string[]> {
  const clamd = new Clamd(address);
  const signal = AbortSignal.timeout(CHECK_TIME);
  try {
    const pong = await clamd.say('PING', signal);
    if (pong !== 'PONG') return ['what listens there is no clamd'];
    await clamd.scan(signal, (scan) => scan(zeros(Math.min(maxSize, MAX_TRIAL)))).catch(explainTrial);
    return [];
  } catch (error) {
    if (!(error instanceof ScannerError)) throw error;
    return error.fault === 'down' ? [] : [error.message];
  } finally {
    clamd.close();
  }
}

/** It need not come to saying so: it hangs up. */
function explainTrial(error: unknown): never {
  const isTooBig = error instanceof ScannerError && ['too-big', 'cut-off'].includes(error.fault);
  if (!isTooBig) throw error;
  const message = "clamd's StreamMaxLength is less than max_size: raise the one or lower the other";
  throw new ScannerError('too-big', message, { cause: error });
}

function* zeros(length: number): Generator<Buffer> {
  const piece = Buffer.alloc(2 ** 16);
  for (let left = length; left > 0; left -= piece.length) yield piece.subarray(0, left);
}
