/** Modules as short as tests of configurations can do with. */
import { BadValue } from '../../../../lib/filter/config/faults.ts';
import type { FindModule } from '../../../../lib/filter/config/find-module.ts';
import { type AnyModule, defineModule, kinds, z } from '../../../../lib/filter/index.ts';
import { Milter } from '../../../../lib/index.ts';

const spf = defineModule({
  name: 'spf',
  about: 'Sender Policy Framework',
  stage: 'envelope',
  when: ['external'],
  once: true,
  options: z.strictObject({
    fail: kinds.action('reject', ['callout']).describe('the record forbids this client'),
    none: kinds.action('continue'),
    accept_fail: kinds.addresses(),
    delegate: kinds.domain(''),
    key: kinds.secret(''),
  }),
  findings: { fail: { about: 'sender', text: 'SPF fails', values: ['explanation'] }, none: 'no SPF record' },
  setup: () => class Spf extends Milter {},
});

const limits = defineModule({
  name: 'limits',
  onError: 'continue',
  options: z.strictObject({
    limits: z
      .array(
        z.strictObject({
          key: z.enum(['user', 'client']),
          per: kinds.duration(),
          most: z.int().min(1).default(9),
        }),
      )
      .default([]),
    users: z
      .union([z.enum(['shared', 'each']), z.strictObject({ groups: kinds.givenPath() })])
      .default('shared'),
    spare: z.boolean().default(false),
  }),
  findings: { exceeded: 'a limit is exceeded' },
  needs: [{ module: 'spf', why: 'to spare who passes it', when: ({ spare }) => spare }],
  setup: () => class Limits extends Milter {},
});

/** `spf` judges the envelope, once; `limits` has tables in lists, and may need `spf`. */
export const testModules: readonly AnyModule[] = [spf, limits];

export const findTestModule: FindModule = (use) => {
  const found = testModules.find(({ name }) => name === use);
  if (found === undefined) return Promise.reject(new BadValue(`there is no module "${use}"`));
  return Promise.resolve(found);
};
