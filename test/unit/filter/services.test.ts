/** What a module's part of the store keeps apart. */
import { expect, it } from 'vitest';
import { testFilter } from '../../helpers/filter.ts';

const counting = (more: string): string => `[[module]]\nuse = "./counting.ts"\n${more}\n`;

it('a module has a part of the store by its name, and another while it only watches', async () => {
  await using filter = await testFilter(
    counting('name = "one"') + counting('name = "two"\nmode = "observe"') + counting(''),
  );
  await filter.send();
  await filter.send();
  const counts = ['one', 'one(observed)', 'two', 'two(observed)', 'counting'].map((name) =>
    filter.store.part(name).get('messages'),
  );
  expect(await Promise.all(counts)).toEqual(['2', undefined, undefined, '2', '2']);
});
