/** Postfix's own limits, where it is on this machine: the filter's must go together with them. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { type Config, type Problem, stageDeadlines } from '../filter/index.ts';

const PARAMETERS = [
  'message_size_limit',
  'milter_command_timeout',
  'milter_content_timeout',
  'milter_default_action',
  'smtpd_milters',
  'queue_directory',
] as const;
type Parameters = Readonly<Record<(typeof PARAMETERS)[number], string>>;

/** What does not go together; undefined where no Postfix can be asked. */
export async function postfixProblems({ settings }: Config): Promise<readonly Problem[] | undefined> {
  const parameters = await readParameters();
  if (parameters === undefined) return undefined;
  const problems: Problem[] = [];
  const warn = (key: string, message: string): void => {
    problems.push({ isFault: false, line: 0, key: `Postfix: ${key}`, message });
  };
  const largest = Number(parameters.message_size_limit);
  if (largest === 0 || largest > settings.max_body) {
    const bytes = largest === 0 ? 'unlimited' : `${largest} bytes`;
    warn(
      'message_size_limit',
      `is ${bytes}, more than max_body: of larger messages the modules do not see the body`,
    );
  }
  for (const [key, stage] of [
    ['milter_command_timeout', 'envrcpt'],
    ['milter_content_timeout', 'eom'],
  ] as const) {
    const needed = (stageDeadlines[stage] ?? 0) / 1_000;
    const seconds = readSeconds(parameters[key]);
    if (seconds !== undefined && seconds < needed) {
      warn(
        key,
        `is ${parameters[key]}, less than the ${needed} s that the filter may take: Postfix will give it up`,
      );
    }
  }
  const action = parameters.milter_default_action;
  if (action === 'accept')
    warn('milter_default_action', 'is accept: mail passes unseen while the filter is away');
  if (action === 'reject')
    warn('milter_default_action', 'is reject: mail is lost while the filter is away; write tempfail');
  if (!settings.socket.some((spec) => knows(parameters, spec))) {
    warn('smtpd_milters', `does not name ${settings.socket.join(' or ')}: no mail reaches the filter`);
  }
  return problems;
}

async function readParameters(): Promise<Parameters | undefined> {
  try {
    const { stdout } = await promisify(execFile)('postconf', ['-x', ...PARAMETERS], { timeout: 10_000 });
    const pairs = stdout.split('\n').flatMap((line) => {
      const [, name = '', value = ''] = /^(\w+) = ?(.*)$/.exec(line) ?? [];
      return name === '' ? [] : [[name, value.trim()] as const];
    });
    const read = Object.fromEntries(pairs) as Partial<Parameters>;
    return PARAMETERS.every((name) => read[name] !== undefined) ? (read as Parameters) : undefined;
  } catch {
    return undefined;
  }
}

function readSeconds(text: string): number | undefined {
  const [, digits, unit = 's'] = /^(\d+)([smhd]?)$/.exec(text) ?? [];
  const factor = { '': 1, s: 1, m: 60, h: 3_600, d: 86_400 }[unit];
  return digits === undefined || factor === undefined ? undefined : Number(digits) * factor;
}

/** Whether `smtpd_milters` names that socket; by the port alone, since hosts have several names. */
function knows({ smtpd_milters, queue_directory }: Parameters, spec: string): boolean {
  const [, port] = /^inet6?:(\d+)/.exec(spec) ?? [];
  const named = smtpd_milters.split(/[\s,{}]+/);
  if (port !== undefined)
    return named.some((milter) => milter.startsWith('inet:') && milter.endsWith(`:${port}`));
  const path = spec.replace(/^unix:/, '');
  return named.some((milter) => {
    const own = milter.replace(/^unix:/, '');
    return own === path || `${queue_directory}/${own}` === path;
  });
}
