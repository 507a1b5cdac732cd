/**
 * `npm run bench -- chain`: the chain that is usual on Debian (opendkim, opendmarc, policyd-spf) beside our filter with the
 * same checks (`spf`, `auth`), and with all local modules besides; all under one Postfix, in turns, in one run. About four
 * minutes. Needs root: it runs in network and mount namespaces of its own, for a name server on port 53 that all ask and
 * for a queue in memory.
 *
 *   --rounds 5          rounds per competitor; the medians count
 *   --seconds 6         measured seconds per round, after one to warm up
 *   --sessions 16       SMTP sessions at a time
 *   --only chain,same   these alone: postfix, chain, same, all
 *   --profile DIR       our filter writes a CPU profile of each of its threads there
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** Programs, and the packages of Debian that bring them. */
const PROGRAMS = [
  ['postfix', 'postfix'],
  ['opendkim', 'opendkim'],
  ['opendmarc', 'opendmarc'],
  ['policyd-spf', 'postfix-policyd-spf-python'],
  ['unbound', 'unbound'],
  ['ip', 'iproute2'],
] as const;

function missing(): string | undefined {
  const path = (process.env['PATH'] ?? '').split(':');
  const packages = PROGRAMS.flatMap(([program, name]) =>
    path.some((folder) => existsSync(join(folder, program))) ? [] : [name],
  );
  if (packages.length > 0)
    return `not installed, or /usr/sbin not in PATH: ${packages.join(', ')} (node .ci/mta.mjs gets them on Debian)`;
  const inside = spawnSync('unshare', ['--mount', '--net', 'true']);
  return inside.status === 0 ? undefined : 'needs root and Linux namespaces';
}

const reason = missing();
if (reason === undefined) {
  const inside = [process.execPath, join(import.meta.dirname, 'chain/run.ts'), ...process.argv.slice(2)];
  const { status } = spawnSync('unshare', ['--mount', '--net', ...inside], { stdio: 'inherit' });
  process.exitCode = status ?? 1;
} else {
  console.error(`bench: chain: ${reason}`);
  process.exitCode = 1;
}
