import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Milter } from '../../lib/index.ts';
import { serving } from '../helpers/server.ts';

const CONNECTIONS = 200;

class Waiting extends Milter {
  override async envfrom() {
    await pause(300);
  }
}

async function timed(act: () => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await act();
  return performance.now() - begun;
}

describe.each(['inet:0@127.0.0.1', `unix:${join(tmpdir(), `milter-${process.pid}.sock`)}`])(
  '%s: a burst of connections whose handlers all wait',
  (socket) => {
    it('takes little more than one of them alone', async () => {
      await using t = await serving(Waiting, { socket });
      const alone = await t.mta();
      const one = await timed(() => alone.envfrom('<a@one.test>'));
      // libmilter's own worker pool would serve them two at a time.
      const mtas = await Promise.all(Array.from({ length: CONNECTIONS }, () => t.mta()));
      const all = await timed(async () => {
        const verdicts = await Promise.all(mtas.map((mta) => mta.envfrom('<a@one.test>')));
        expect(new Set(verdicts.map(({ verdict }) => verdict))).toEqual(new Set(['continue']));
      });
      expect(all / one).toBeLessThan(4);
      // Nor do the dials that make libmilter launch workers count as sessions.
      expect(t.server.stats().sessions.created).toBe(CONNECTIONS + 1);
    });

    it('also when it comes with the dialling', async () => {
      await using t = await serving(Waiting, { socket });
      const alone = await t.mta();
      const one = await timed(() => alone.envfrom('<a@one.test>'));
      const all = await timed(() =>
        Promise.all(Array.from({ length: CONNECTIONS }, async () => (await t.mta()).envfrom('<a@one.test>'))),
      );
      expect(all / one).toBeLessThan(4);
    });
  },
);
