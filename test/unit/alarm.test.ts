/** The one timer of all alarms. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { setAlarm, stopAlarm } from '../../lib/alarm.ts';
import { until } from '../helpers/wait.ts';

describe('alarms', () => {
  it('ring in the order of their times, and not before', async () => {
    const began = performance.now();
    const rung: { readonly name: string; readonly after: number }[] = [];
    const ring = (name: string) => () => rung.push({ name, after: performance.now() - began });
    setAlarm(60_000, ring('never'));
    setAlarm(30, ring('third'));
    setAlarm(10, ring('first'));
    setAlarm(20, ring('second'));
    setAlarm(0, ring('at once'));
    await until('the alarms', () => rung.length === 4);
    expect(rung.map(({ name }) => name)).toEqual(['at once', 'first', 'second', 'third']);
    for (const [index, least] of [0, 10, 20, 30].entries())
      expect(rung[index]?.after).toBeGreaterThanOrEqual(least);
  });

  it('do not ring when they were stopped, be it by one that rings', async () => {
    const rung: string[] = [];
    const stopped = setAlarm(5, () => rung.push('stopped'));
    stopAlarm(stopped);
    stopAlarm(stopped);
    setAlarm(1, () => stopAlarm(other));
    const other = setAlarm(1, () => rung.push('other'));
    setAlarm(10, () => rung.push('last'));
    await until('the alarms', () => rung.length > 0);
    expect(rung).toEqual(['last']);
  });

  it('may be set by one that rings', async () => {
    let rung = 0;
    const again = (): void => {
      rung++;
      if (rung < 5) setAlarm(1, again);
    };
    setAlarm(1, again);
    await until('the alarms', () => rung === 5);
  });

  const alarm = JSON.stringify(join(import.meta.dirname, '../../lib/alarm.ts'));
  it.each([
    [
      'hold the process until they ring',
      'setAlarm(60_000, () => {}); setAlarm(40, () => process.exit(7));',
      7,
    ],
    ['hold it no longer when they were stopped', 'stopAlarm(setAlarm(60_000, () => process.exit(7)));', 0],
    [
      'hold it again after such a one',
      'stopAlarm(setAlarm(1_000, () => {})); setAlarm(1_100, () => process.exit(7));',
      7,
    ],
  ])('%s', (_, code, status) => {
    const script = `import { setAlarm, stopAlarm } from ${alarm}; ${code}`;
    const child = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
      encoding: 'utf8',
      timeout: 30_000,
    });
    expect(child.stderr).toBe('');
    expect(child.status).toBe(status);
  });
});
