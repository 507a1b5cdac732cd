/** The filter's own quarantine: what is kept, for whom, how long, and what is said where it cannot be kept. */
import { randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { type HeldItem, openFilter } from '../../../lib/filter/index.ts';
import { fakeSession } from '../../../lib/testing/index.ts';
import { temporaryDirectory } from '../../helpers/directory.ts';
import { keepingLogger, probeDirectory, type TestFilter, testFilter } from '../../helpers/filter.ts';

const HOLD = '[[module]]\nuse = "./probe.ts"\nmessage = "quarantine"\n';
const both = ['b@example.com', 'c@example.com'];

/** A message that does not become smaller than so many bytes. */
function noise(bytes = 3_000): Buffer {
  const lines = randomBytes(bytes).toString('base64').replace(/.{76}/g, '$&\r\n');
  return Buffer.from(`Subject: x\r\n\r\n${lines}\r\n`);
}

async function itemsOf({ quarantine }: TestFilter): Promise<readonly HeldItem[]> {
  const items: HeldItem[] = [];
  for await (const item of quarantine.held.list()) items.push(item);
  return items.sort((a, b) => a.owner.localeCompare(b.owner));
}

async function only(filter: TestFilter): Promise<HeldItem> {
  const [item, ...others] = await itemsOf(filter);
  if (item === undefined || others.length > 0)
    throw new Error(`${others.length + 1} items are no single one`);
  return item;
}

function filesOf({ data }: TestFilter): Promise<readonly string[]> {
  return readdir(join(data, 'quarantine'));
}

describe('a message that is held', () => {
  it('is on disk as it was received, to the byte, and tells what was found', async () => {
    await using filter = await testFilter(HOLD);
    const eml = Buffer.from(
      'From:  Ann  <a@example.org>\r\nX-Fold: one\r\n\ttwo\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\nraw \xe9\xff\r\n.\r\n\r\n',
      'latin1',
    );
    const { verdict } = await filter.send({ eml });
    expect(verdict).toBe('discard');
    const item = await only(filter);
    expect(await filter.quarantine.held.read(item)).toEqual(eml);
    expect(item).toMatchObject({
      state: 'held',
      size: eml.length,
      sender: '<a@example.org>',
      recipient: '<b@example.com>',
      owner: 'b@example.com',
      subject: 'Grüße',
      from: 'Ann <a@example.org>',
      client: { address: '192.0.2.7', hostname: 'mail.example.org', helo: 'mail.example.org' },
      findings: [{ name: 'probe-message', action: 'quarantine' }],
      ref: (await filter.last())?.ref,
      host: `mx.example.com (${hostname()})`,
    });
    const [file = ''] = await filesOf(filter);
    expect(file).toBe(`${item.sha256}.eml.gz`);
    expect(gunzipSync(await readFile(join(filter.data, 'quarantine', file)))).toEqual(eml);
  });

  it('can be read by this user alone', async () => {
    await using filter = await testFilter(HOLD);
    await filter.send();
    const folder = join(filter.data, 'quarantine');
    const [file = ''] = await readdir(folder);
    const modes = await Promise.all([filter.data, folder, join(folder, file)].map((path) => stat(path)));
    expect(modes.map(({ mode }) => mode & 0o777)).toEqual([0o700, 0o700, 0o600]);
  });

  it('is in the folder that the configuration names', async () => {
    await using filter = await testFilter(`[quarantine]\npath = "spool/held"\n${HOLD}`);
    await filter.send();
    expect(await readdir(join(filter.data, 'spool/held'))).toHaveLength(1);
  });

  it('is an item for each owner, and one file', async () => {
    await using filter = await testFilter(HOLD);
    await filter.send({ recipients: both });
    const items = await itemsOf(filter);
    expect(items.map(({ owner }) => owner)).toEqual(both);
    expect(new Set(items.map(({ id }) => id)).size).toBe(2);
    expect(await filesOf(filter)).toHaveLength(1);
  });

  it('is held for those whom the finding concerns, and goes on to the others', async () => {
    await using filter = await testFilter(
      '[[module]]\nuse = "./probe.ts"\nrecipient = "quarantine"\nrecipients = ["c@example.com"]\n',
    );
    const { message, verdict } = await filter.send({ recipients: both });
    expect({ verdict, left: message.recipients }).toEqual({ verdict: 'continue', left: ['<b@example.com>'] });
    expect((await only(filter)).owner).toBe('c@example.com');
  });

  it('twice for one recipient is one item, however he is written', async () => {
    await using filter = await testFilter(HOLD);
    await filter.send({ recipients: ['B@Example.com'] });
    await filter.send({ recipients: ['b@example.com'] });
    expect((await only(filter)).recipient).toBe('<B@Example.com>');
    await filter.send({ eml: 'Subject: another\n\nhello\n' });
    expect(await itemsOf(filter)).toHaveLength(2);
  });

  it('is one item too, however the domain of its recipient is written', async () => {
    await using filter = await testFilter(HOLD);
    await filter.send({ recipients: ['J\u00fcrgen@b\u00fccher.example'] });
    await filter.send({ recipients: ['ju\u0308rgen@XN--bcher-kva.example'] });
    expect((await only(filter)).owner).toBe('j\u00fcrgen@xn--bcher-kva.example');
  });

  it('shows no text of the mail in the name of a file', async () => {
    await using filter = await testFilter(HOLD);
    await filter.send({
      sender: '../../etc/passwd@example.org',
      recipients: ['"../../x"@example.com'],
      eml: 'Subject: ../../x\nMessage-Id: <../../y>\n\n../z\n',
    });
    const [file = ''] = await filesOf(filter);
    expect(file).toMatch(/^[\da-f]{64}\.eml\.gz$/);
  });

  it('is held as a large one too', async () => {
    await using filter = await testFilter(HOLD);
    const eml = noise(5_000_000);
    await filter.send({ eml });
    expect((await filter.quarantine.held.read(await only(filter))).equals(eml)).toBe(true);
  });
});

describe('an item', () => {
  it('is deleted once, and its file goes with the last', async () => {
    await using filter = await testFilter(HOLD);
    await filter.send({ recipients: both });
    const [first, second] = await itemsOf(filter);
    if (first === undefined || second === undefined) throw new Error('two items were held');
    expect(await filter.quarantine.held.delete(first, 'admin')).toBeDefined();
    expect(await filter.quarantine.held.delete(first, 'admin')).toBeUndefined();
    expect(await filesOf(filter)).toHaveLength(1);
    expect(await filter.quarantine.held.delete(second, 'b@example.com')).toBeDefined();
    expect(await filesOf(filter)).toEqual([]);
    expect(await itemsOf(filter)).toMatchObject([
      { state: 'deleted', by: 'admin' },
      { state: 'deleted', by: 'b@example.com' },
    ]);
  });

  it('that is over is held anew when the message comes again', async () => {
    await using filter = await testFilter(HOLD);
    await filter.send();
    await filter.quarantine.held.delete(await only(filter), 'admin');
    await filter.send();
    expect((await only(filter)).state).toBe('held');
    expect(await filesOf(filter)).toHaveLength(1);
  });

  it('is found by the beginning of its id', async () => {
    await using filter = await testFilter(HOLD);
    await filter.send({ recipients: both });
    const [first] = await itemsOf(filter);
    expect(await filter.quarantine.held.find(first?.id.slice(0, 12) ?? '')).toMatchObject([
      { id: first?.id },
    ]);
    expect(await filter.quarantine.held.find('../x')).toEqual([]);
  });

  it('is kept for an hour at least', async () => {
    for (const keep of ['0s', '59m'])
      await expect(testFilter(`[quarantine]\nkeep = "${keep}"\n${HOLD}`)).rejects.toThrow('an hour at least');
    await using _ = await testFilter(`[quarantine]\nkeep = "1h"\n${HOLD}`);
  });

  it('expires by its age alone, and its file with it', async () => {
    let time = Date.now();
    await using filter = await testFilter(`[quarantine]\nkeep = "2d"\n${HOLD}`, { now: () => time });
    await filter.send();
    time += 47 * 3_600_000;
    await filter.quarantine.expire();
    expect(await filesOf(filter)).toHaveLength(1);
    time += 2 * 3_600_000;
    expect(await itemsOf(filter)).toEqual([]);
    await filter.quarantine.expire();
    expect(await filesOf(filter)).toEqual([]);
  });

  it('is not lost where another owner deletes his in that moment', async () => {
    await using filter = await testFilter(HOLD);
    for (let round = 0; round < 20; round++) {
      await filter.send({ recipients: ['b@example.com'] });
      const [mine] = (await itemsOf(filter)).filter(
        ({ owner, state }) => owner === 'b@example.com' && state === 'held',
      );
      if (mine === undefined) throw new Error('it was held');
      await Promise.all([
        filter.quarantine.held.delete(mine, 'b'),
        filter.send({ recipients: ['c@example.com'] }),
      ]);
      const [other] = (await itemsOf(filter)).filter(({ owner }) => owner === 'c@example.com');
      if (other === undefined) throw new Error('it was held');
      await filter.quarantine.held.read(other);
      await filter.quarantine.held.delete(other, 'c');
    }
  });
});

describe('where a message cannot be kept', () => {
  const spool = (bytes: number): string => `[quarantine]\nmax_size = "${bytes}B"\n${HOLD}`;

  it('it is tempfailed with 452 beyond max_size, and taken again when there is room', async () => {
    await using filter = await testFilter(spool(11_000));
    const results = [];
    for (let n = 0; n < 4; n++) results.push(await filter.send({ eml: noise() }));
    expect(results.map(({ verdict }) => verdict)).toEqual(['discard', 'discard', 'discard', 'tempfail']);
    expect(results[3]?.reply).toMatchObject({ code: 452, enhanced: '4.3.1' });
    expect(await filesOf(filter)).toHaveLength(3);
    expect(await filter.last()).toMatchObject({
      verdict: 'tempfail',
      recipients: [{ verdict: 'tempfail', finding: 'milter-quarantine-full' }],
    });
    const warnings = filter.logger.lines.filter(({ level }) => level === 'warn');
    expect(warnings.map(({ message }) => message)).toEqual([
      expect.stringMatching(/quarantine is 8\d % full/),
    ]);
    const [item] = await itemsOf(filter);
    if (item === undefined) throw new Error('it was held');
    await filter.quarantine.held.delete(item, 'admin');
    expect((await filter.send({ eml: noise() })).verdict).toBe('discard');
  });

  it('counts what is there already, and what others put there', async () => {
    await using filter = await testFilter(spool(11_000));
    await mkdir(join(filter.data, 'quarantine'), { recursive: true });
    await writeFile(join(filter.data, 'quarantine', `${'a'.repeat(64)}.eml.gz`), Buffer.alloc(10_000));
    expect((await filter.send({ eml: noise() })).reply).toMatchObject({ code: 452 });
  });

  it('it is tempfailed with 451 while the store is away', async () => {
    await using directory = await temporaryDirectory();
    const filter = await openFilter(
      `socket = "inet:8894@127.0.0.1"\ndata = "${directory.path}"\n[store]\nurl = "sqlite:/dev/null/milter.db"\n${HOLD}`,
      { directory: probeDirectory, logger: keepingLogger() },
    );
    const mta = fakeSession(filter.Filter);
    const { reply } = await mta.sendMessage(noise(), {
      sender: 'a@example.org',
      recipients: ['b@example.com'],
    });
    expect(reply).toMatchObject({ code: 451, enhanced: '4.3.0' });
    await mta.close();
    await filter.close();
  });

  it('it is tempfailed with 451 where the folder cannot be used', async () => {
    await using filter = await testFilter(HOLD);
    await mkdir(filter.data);
    await writeFile(join(filter.data, 'quarantine'), 'a file');
    expect((await filter.send()).reply).toMatchObject({ code: 451, enhanced: '4.3.0' });
    expect(filter.logger.lines.map(({ message }) => message).join('\n')).toContain('cannot be held');
    await rm(join(filter.data, 'quarantine'));
    expect((await filter.send()).verdict).toBe('discard');
  });

  it('it is tempfailed where its body was too large to be looked into', async () => {
    await using filter = await testFilter('[[module]]\nuse = "./probe.ts"\nsender = "quarantine"\n');
    const mta = fakeSession(filter.Filter, { maxBody: 1_000, logger: filter.logger });
    const { verdict } = await mta.sendMessage(noise(), {
      sender: 'a@example.org',
      recipients: ['b@example.com'],
    });
    await mta.close();
    expect(verdict).toBe('tempfail');
    expect(await itemsOf(filter)).toEqual([]);
  });
});

describe('the check', () => {
  it('finds messages that are gone or damaged, and takes them back when they are there again', async () => {
    await using filter = await testFilter(HOLD);
    for (const subject of ['a', 'b', 'c']) await filter.send({ eml: `Subject: ${subject}\n\nhello\n` });
    expect(await filter.quarantine.check()).toMatchObject({ held: 3, files: 3, lost: [], adopted: [] });
    const folder = join(filter.data, 'quarantine');
    const [gone = '', damaged = ''] = await readdir(folder);
    const whole = await readFile(join(folder, gone));
    await rm(join(folder, gone));
    await writeFile(join(folder, damaged), (await readFile(join(folder, damaged))).subarray(0, 20));
    for (let times = 0; times < 2; times++) {
      const { lost, held } = await filter.quarantine.check();
      expect(held).toBe(1);
      expect(lost.map(({ item }) => `${item.sha256}.eml.gz`).sort()).toEqual([gone, damaged].sort());
    }
    expect((await itemsOf(filter)).map(({ state }) => state).sort()).toEqual(['held', 'lost', 'lost']);
    await writeFile(join(folder, gone), whole);
    const { found, lost, held } = await filter.quarantine.check();
    expect(found.map(({ sha256 }) => `${sha256}.eml.gz`)).toEqual([gone]);
    expect({ lost: lost.length, held }).toEqual({ lost: 1, held: 2 });
  });

  it('takes nothing for lost while no file is there at all', async () => {
    await using filter = await testFilter(HOLD);
    await filter.send();
    const folder = join(filter.data, 'quarantine');
    await rename(folder, `${folder}.away`);
    expect((await filter.quarantine.check()).lost).toHaveLength(1);
    expect((await only(filter)).state).toBe('held');
    await rename(`${folder}.away`, folder);
    expect((await filter.quarantine.check()).lost).toEqual([]);
  });

  it('has files that no item names held for nobody, and removes what was never finished', async () => {
    const clock = { at: Date.now() };
    await using filter = await testFilter(HOLD, { now: () => clock.at });
    await filter.send({ eml: 'From: a@example.org\nSubject: alone\n\nhello\n' });
    const { id, sha256 } = await only(filter);
    const folder = join(filter.data, 'quarantine');
    // The store is lost.
    for await (const item of filter.quarantine.held.list()) await filter.quarantine.held.items.forget(item);
    await writeFile(join(folder, `${'b'.repeat(64)}.eml.gz`), 'no message');
    await writeFile(join(folder, '.new-fresh'), '');
    await writeFile(join(folder, '.new-old'), '');
    await writeFile(join(folder, 'README'), '');
    await utimes(join(folder, '.new-old'), 1, 1);
    expect(await filter.quarantine.check()).toMatchObject({ adopted: [], removed: ['.new-old'] });
    clock.at += 2 * 3_600_000;
    await writeFile(join(folder, '.new-fresh'), '');
    await utimes(join(folder, '.new-fresh'), clock.at / 1_000, clock.at / 1_000);
    const report = await filter.quarantine.check();
    expect(report).toMatchObject({ removed: [], unusable: [`${'b'.repeat(64)}.eml.gz`], held: 1 });
    expect(report.adopted).toMatchObject([{ owner: '', sha256, subject: 'alone', state: 'held' }]);
    expect(report.adopted[0]?.id).not.toBe(id);
    expect((await filter.quarantine.check()).adopted).toEqual([]);
    expect((await readdir(folder)).sort()).toContain('README');
  });

  it('finds whose a file is that another machine wrote, and takes no file of that for lost', async () => {
    const clock = { at: Date.now() };
    await using filter = await testFilter(HOLD, { now: () => clock.at });
    await filter.send();
    await filter.send({ eml: 'Subject: y\n\nhello\n' });
    const { items } = filter.quarantine.held;
    for (const { id } of await itemsOf(filter))
      await items.change(id, (item) => item && { ...item, host: 'mx2.example.com' });
    const [, elsewhere = ''] = await filesOf(filter);
    await rm(join(filter.data, 'quarantine', elsewhere));
    clock.at += 2 * 3_600_000;
    expect(await filter.quarantine.check()).toMatchObject({ held: 2, files: 1, lost: [], adopted: [] });
    clock.at += filter.quarantine.held.keep;
    await filter.quarantine.expire();
    expect(await filesOf(filter)).toEqual([]);
  });

  it('lists again what lists have lost', async () => {
    await using filter = await testFilter(HOLD);
    await filter.send();
    const { id } = await only(filter);
    for await (const [key] of filter.store.part('quarantine').scan('open/'))
      await filter.store.part('quarantine').delete(key);
    expect((await filter.quarantine.held.page({})).items).toEqual([]);
    expect((await filter.quarantine.check()).listed).toBe(1);
    expect((await filter.quarantine.held.page({})).items).toMatchObject([{ id }]);
  });

  it('and whoever reads find what a removal left aside when it was cut off', async () => {
    await using filter = await testFilter(HOLD);
    await filter.send();
    const item = await only(filter);
    const folder = join(filter.data, 'quarantine');
    const file = join(folder, `${item.sha256}.eml.gz`);
    await writeFile(join(folder, `.${item.sha256}.x.gone`), await readFile(file));
    await rm(file);
    expect((await filter.quarantine.held.read(item)).length).toBe(item.size);
    await rename(file, join(folder, `.${item.sha256}.x.gone`));
    expect(await filter.quarantine.check()).toMatchObject({ held: 1, lost: [], adopted: [] });
  });
});
