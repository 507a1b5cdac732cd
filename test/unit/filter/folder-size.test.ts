/** How much lies in a folder: what is written while it is measured, and what could not be written after all. */
import { expect, it } from 'vitest';
import { FolderSize } from '../../../lib/filter/folder-size.ts';
import { gate } from '../../helpers/server.ts';

it('counts what is taken between two measurements, and measures anew when it is full', async () => {
  let inside = 40;
  const size = new FolderSize(100, async () => inside);
  await size.measure();
  expect(size.take(50)).toBe(true);
  expect(size.isNearlyFull).toBe(true);
  expect(size.take(20)).toBe(false);
  inside = 60;
  await size.measure();
  expect(size.used).toBe(60);
  expect(size.take(20)).toBe(true);
});

it('is rather too much than too little of what happens while it is measured', async () => {
  const measured = gate<number>();
  const size = new FolderSize(100, () => measured.opened);
  const done = [size.measure(), size.measure()];
  expect(size.take(30)).toBe(true);
  measured.open(30);
  await Promise.all(done);
  expect(size.used).toBe(60);

  const again = gate<number>();
  const other = new FolderSize(100, () => again.opened);
  other.take(50);
  const measuring = other.measure();
  other.giveBack(50);
  again.open(50);
  await measuring;
  expect(other.used).toBe(50);
});
