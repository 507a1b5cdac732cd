/** How `milter try` shows an outcome on a terminal and elsewhere. */
import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { formatOutcome, type Outcome } from '../../../lib/cli/outcome.ts';

const refused: Outcome = {
  verdict: 'reject',
  stage: 'envfrom',
  reply: { code: 550, enhanced: '5.7.1', lines: ['Not', 'today \u001b[2J'] },
  recipients: [],
  changes: undefined,
  failures: 0,
};

describe('an outcome', () => {
  it('has every line of the reply, with nothing in it that steers a terminal', () => {
    expect(formatOutcome(refused, new PassThrough())).toBe(`verdict     rejected at envfrom
reply       550 5.7.1 Not
            550 5.7.1 today \\x1b[2J`);
  });

  it('is in colour on a terminal only', () => {
    const terminal = Object.assign(new PassThrough(), { isTTY: true, getColorDepth: () => 8 });
    const { NO_COLOR, FORCE_COLOR, NODE_DISABLE_COLORS } = process.env;
    for (const name of ['NO_COLOR', 'FORCE_COLOR', 'NODE_DISABLE_COLORS']) delete process.env[name];
    const shown = formatOutcome(refused, terminal);
    Object.assign(process.env, JSON.parse(JSON.stringify({ NO_COLOR, FORCE_COLOR, NODE_DISABLE_COLORS })));
    expect(shown).toContain('\u001b[31mrejected\u001b[39m at envfrom');
  });
});
