/** Adds up the points of all modules. */
import { Milter } from '../../index.ts';
import { type Action, defineModule, kinds, scoreRole, z } from '../kit.ts';

export default defineModule({
  name: 'score',
  once: true,
  onError: 'continue',
  judges: 'weigh',
  options: z.strictObject({
    tag_from: z.number().default(5).describe('From so many points on it is tagged'),
    quarantine_from: z.number().default(8).describe('From so many on it is quarantined'),
    reject_from: z.number().default(15).describe('From so many on it is rejected'),
    header: kinds
      .ownHeader('X-Spam-Score')
      .describe('Tells the points of each finding, on incoming mail that has any; "": none'),
  }),
  findings: {
    reject: {
      about: 'message',
      text: 'too many points',
      reply: 'Your message looks like spam (%{points} points)',
      values: ['points'],
    },
    quarantine: { about: 'message', text: 'many points', values: ['points'] },
    tag: { about: 'message', text: 'some points', values: ['points'] },
  },
  check: (options) =>
    (['tag_from', 'quarantine_from', 'reject_from'] as const)
      .filter((key) => options[key] <= 0)
      .map(
        (key) =>
          `${key} is ${options[key]}, which mail without any points has too; to switch it off give it a large number`,
      ),
  setup: ({ options, services }) => {
    const steps: readonly (readonly [short: 'reject' | 'quarantine' | 'tag', from: number])[] = [
      ['reject', options.reject_from],
      ['quarantine', options.quarantine_from],
      ['tag', options.tag_from],
    ];
    services.provide(scoreRole, { header: options.header });

    return class Score extends Milter {
      override eom(): void {
        const { points } = services.soFar(this);
        const step = steps.find(([, from]) => points >= from);
        if (step === undefined) return;
        const action: Action = { word: step[0] };
        services.found(this, step[0], action, { values: { points: points.toFixed(1) } });
      }
    };
  },
});
