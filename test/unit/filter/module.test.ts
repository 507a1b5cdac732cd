import { Milter } from 'libmilter';
import { defineModule, kinds, z } from 'libmilter/filter';
import { describe, expect, it } from 'vitest';
import { ownModules } from '../../../lib/filter/modules/index.ts';

const sound = {
  name: 'helo',
  options: z.strictObject({
    address: kinds.action('reject'),
    block: kinds.addresses(),
    wait: kinds.duration('5s'),
  }),
  findings: { address: 'HELO with a bare IP address' },
  setup: () => class Helo extends Milter {},
};

describe('the modules that come with the filter', () => {
  it.each(Object.keys(ownModules))('%s replies in characters that SMTP has', async (name) => {
    const { findings } = (await ownModules[name]?.())?.default ?? {};
    const replies = Object.values(findings ?? {}).map((one) =>
      typeof one === 'string' ? one : (one.reply ?? one.text),
    );
    expect(replies.filter((reply) => !/^[ -~]*$/.test(reply))).toEqual([]);
  });
});

describe('defineModule', () => {
  it('gives the definition, whose options have their kinds', () => {
    const module = defineModule({
      ...sound,
      setup: ({ options, services }) =>
        class Helo extends Milter {
          readonly wait: number = options.wait;
          override envfrom(sender: string) {
            if (options.block.has(sender)) services.found(this, 'address', options.address);
          }
        },
    });
    const { address, wait, block } = module.options.parse({});
    expect({ address, wait, empty: block.empty }).toEqual({
      address: { word: 'reject' },
      wait: 5000,
      empty: true,
    });
  });

  it.each([
    ['a name that cannot be in a header', { name: 'He lo' }, 'name must be lower case'],
    ['options that let misspelt keys pass', { options: z.object({}) }, 'must be a z.strictObject'],
    [
      'an option that every module has',
      { options: z.strictObject({ mode: z.string() }) },
      'has an option "mode", which every module has',
    ],
    ['no setup', { setup: undefined }, 'needs a function setup'],
    [
      'a finding of an impossible name',
      { findings: { 'A b': '' } },
      '"A b" of "helo" is no name of a finding',
    ],
  ])('refuses %s', (_, wrong, message) => {
    expect(() => defineModule({ ...sound, ...wrong } as typeof sound)).toThrow(message);
  });
});
