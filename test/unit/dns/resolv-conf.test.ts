import { mkdtempSync, renameSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { followResolvConf, parseResolvConf } from '../../../lib/dns/resolv-conf.ts';
import { settingsFrom } from '../../../lib/dns/resolver.ts';

const addresses = (text: string): readonly string[] =>
  parseResolvConf(text).servers.map(({ address }) => address);

describe('resolv.conf', () => {
  it('names servers at the beginning of a line, in order', () => {
    expect(
      addresses(
        '# nameserver 9.9.9.9\n;nameserver 9.9.9.9\nsearch a\nnameserver 192.0.2.1 # first\r\n nameserver 8.8.8.8\nnameserver\t::1 \nnameserver x\nnameserver\n',
      ),
    ).toEqual(['192.0.2.1', '::1']);
    expect(addresses('nameserver fe80::1%eth0')).toEqual(['fe80::1%eth0']);
  });

  it('counts three servers, and means this host where there is none', () => {
    const lines = [1, 2, 3, 4, 5].map((n) => `nameserver 192.0.2.${n}\n`).join('');
    expect(addresses(lines)).toEqual(['192.0.2.1', '192.0.2.2', '192.0.2.3']);
    expect(addresses('search example.com\n')).toEqual(['127.0.0.1']);
  });

  it.each([
    ['', { timeout: undefined, tries: undefined, rotate: false }],
    ['options timeout:3 attempts:4 rotate', { timeout: 3000, tries: 4, rotate: true }],
    ['options timeout:1\noptions ndots:2 edns0\noptions attempts:1', { timeout: 1000, tries: 1 }],
    ['options timeout:99 attempts:99', { timeout: 30_000, tries: 5 }],
    ['options timeout:0 attempts:0', { timeout: 1000, tries: 1 }],
    ['options timeout:x attempts: rotate:no', { timeout: undefined, tries: undefined, rotate: false }],
    ['options timeout:1 timeout:2', { timeout: 2000 }],
    ['#options rotate\n options rotate', { rotate: false }],
  ])('with %j', (text, expected) => {
    expect(parseResolvConf(text)).toMatchObject(expected);
  });
});

describe('the file', () => {
  let folder: string;
  let path: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'resolv-'));
    path = join(folder, 'resolv.conf');
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it('is read anew when it changes, however it changes, and only then', () => {
    const read = followResolvConf(path);
    const servers = () => read().servers.map(({ address }) => address);
    expect(servers()).toEqual(['127.0.0.1']);
    writeFileSync(path, 'nameserver 192.0.2.1\n');
    expect(servers()).toEqual(['192.0.2.1']);
    expect(read()).toBe(read());
    // As long, and as old by its own account.
    const moment = new Date(1_000_000_000_000);
    utimesSync(path, moment, moment);
    const before = read();
    writeFileSync(join(folder, 'new'), 'nameserver 192.0.2.2\n');
    utimesSync(join(folder, 'new'), moment, moment);
    renameSync(join(folder, 'new'), path);
    expect(servers()).toEqual(['192.0.2.2']);
    expect(read()).not.toBe(before);
    rmSync(path);
    expect(servers()).toEqual(['127.0.0.1']);
  });

  it('gives what the options of createResolver leave open', () => {
    const text = 'nameserver 192.0.2.1\noptions timeout:3 attempts:4 rotate\n';
    writeFileSync(path, text);
    const settings = settingsFrom({}, followResolvConf(path));
    expect(settings()).toMatchObject({ timeout: 3000, tries: 4, rotate: true, deadline: 10_000 });
    expect(settings()).toBe(settings());
    writeFileSync(path, 'nameserver 192.0.2.2\n');
    expect(settings()).toMatchObject({ servers: [{ address: '192.0.2.2' }], timeout: 1500, tries: 2 });
    writeFileSync(path, text);
    const own = { timeout: 5, tries: 1, rotate: false, deadline: 9 };
    expect(settingsFrom(own, followResolvConf(path))()).toMatchObject(own);
  });

  it('leaves each server its turn before the deadline', () => {
    const servers = [1, 2].map((n) => `nameserver 192.0.2.${n}\n`).join('');
    writeFileSync(path, `${servers}options timeout:30\n`);
    expect(settingsFrom({}, followResolvConf(path))().timeout).toBe(5000);
    expect(settingsFrom({ deadline: 400 }, followResolvConf(path))().timeout).toBe(200);
    expect(settingsFrom({ timeout: 20_000 }, followResolvConf(path))().timeout).toBe(20_000);
  });

  it('counts for nothing where servers are given', () => {
    writeFileSync(path, 'nameserver 192.0.2.1\noptions timeout:3 attempts:4 rotate\n');
    const settings = settingsFrom({ servers: ['192.0.2.9'] }, followResolvConf(path));
    expect(settings()).toEqual({
      servers: [{ address: '192.0.2.9', family: 4, port: 53 }],
      timeout: 1500,
      tries: 2,
      rotate: false,
      deadline: 10_000,
    });
  });
});
