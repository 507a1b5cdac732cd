/** What processes use, as Linux tells of it. */
import { readdirSync, readFileSync } from 'node:fs';

/** Linux counts CPU time in hundredths of a second. */
const TICKS = 100;

/** A process. */
interface Process {
  readonly pid: number;
  readonly parent: number;
  /** Seconds of CPU of its own, and of children that have ended. */
  readonly own: number;
  readonly ended: number;
  readonly command: string;
}

/** All processes. */
export function processes(): Process[] {
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'latin1');
      const fields = stat
        .slice(stat.lastIndexOf(')') + 2)
        .split(' ')
        .map(Number);
      const [parent = 0] = fields.slice(1);
      const [user = 0, system = 0, endedUser = 0, endedSystem = 0] = fields.slice(11);
      const command = readFileSync(`/proc/${name}/cmdline`, 'latin1').replaceAll('\0', ' ');
      const own = (user + system) / TICKS;
      return [{ pid: Number(name), parent, own, ended: (endedUser + endedSystem) / TICKS, command }];
    } catch {
      return []; // It has ended meanwhile.
    }
  });
}

/** MiB of memory: resident, and with what is shared parted among those who share it. */
export function memoryOf(pids: readonly number[]): { readonly rss: number; readonly pss: number } {
  let [rss, pss] = [0, 0];
  for (const pid of pids) {
    try {
      const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1');
      rss += Number(/^Rss:\s+(\d+)/m.exec(text)?.[1] ?? 0) / 1_024;
      pss += Number(/^Pss:\s+(\d+)/m.exec(text)?.[1] ?? 0) / 1_024;
    } catch {
      // It has ended meanwhile.
    }
  }
  return { rss, pss };
}

/** Seconds of CPU that all processes of the machine have used. */
export function machineSeconds(): number {
  const [line = ''] = readFileSync('/proc/stat', 'latin1').split('\n');
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = line.split(/\s+/).slice(1).map(Number);
  return (user + nice + system + irq + softirq) / TICKS;
}
