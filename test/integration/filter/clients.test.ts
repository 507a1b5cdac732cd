/** The modules that judge client and envelope, on the real libmilter: one message that each refuses, and one that it does not. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openFilter } from '../../../lib/filter/index.ts';
import { MemoryResolver, type SendOptions } from '../../../lib/testing/index.ts';
import { temporaryDirectory } from '../../helpers/directory.ts';
import { serving } from '../../helpers/server.ts';

const dns = {
  'fail.example': { TXT: ['v=spf1 -all'] },
  '9.2.0.192.in-addr.arpa': { PTR: ['in.example.com'] },
  'in.example.com': { A: ['192.0.2.9'] },
  '2.0.0.127.bl.test': { A: ['127.0.0.2'] },
  '8.2.0.192.bl.test': { A: ['127.0.0.2'] },
  'test.uri.test': { A: ['127.0.0.2'] },
  'spam.example.uri.test': { A: ['127.0.0.2'] },
} as const;

const MAIL = 'From: a@example.org\r\nSubject: x\r\n\r\nhello\r\n';

interface Case {
  readonly module: string;
  readonly options: string;
  readonly bad: Partial<SendOptions>;
  readonly eml?: string;
  readonly finding: string;
  readonly enhanced: string;
}

const cases: readonly Case[] = [
  {
    module: 'networks',
    options: 'domains = ["example.com"]\ninternal = ["*.example.com"]',
    // Internal by a name that only DNS knows.
    bad: { client: { hostname: 'unknown', address: '192.0.2.9' } },
    finding: 'networks-internal-as-other',
    enhanced: '5.7.1',
  },
  {
    module: 'helo',
    options: '',
    bad: { helo: '192.0.2.7' },
    finding: 'helo-address',
    enhanced: '5.5.2',
  },
  {
    module: 'ptr',
    options: 'missing = "reject"',
    bad: { client: { hostname: '[192.0.2.99]', address: '192.0.2.99' } },
    finding: 'ptr-missing',
    enhanced: '5.7.25',
  },
  { module: 'spf', options: '', bad: { sender: 'a@fail.example' }, finding: 'spf-fail', enhanced: '5.7.23' },
  {
    module: 'access',
    options: 'map = "file:access"',
    bad: { recipients: ['nobody@example.com'] },
    finding: 'access-to',
    enhanced: '5.1.1',
  },
  {
    module: 'dnsbl',
    options: 'client = [{ zone = "bl.test", action = "reject" }]',
    bad: { client: { hostname: 'unknown', address: '192.0.2.8' } },
    finding: 'dnsbl-client',
    enhanced: '5.7.1',
  },
  {
    module: 'dnsbl',
    options: 'links = [{ zone = "uri.test", action = "reject" }]',
    bad: {},
    eml: `${MAIL}http://spam.example/\r\n`,
    finding: 'dnsbl-links',
    enhanced: '5.7.1',
  },
];

describe('on the real libmilter', () => {
  it.each(cases)(
    '$module refuses by $finding, and nothing else',
    async ({ module, options, bad, eml, finding, enhanced }) => {
      await using directory = await temporaryDirectory();
      writeFileSync(join(directory.path, 'access'), 'To:nobody@example.com\tERROR:5.1.1:550 No such user\n');
      const filter = await openFilter(
        `socket = "inet:0@127.0.0.1"\n[log]\nlevel = "error"\n[store]\nurl = "memory:"\n[[module]]\nuse = "${module}"\n${options}\n`,
        { directory: directory.path, resolver: new MemoryResolver(dns) },
      );
      try {
        await using server = await serving(filter.Filter);
        await using mta = await server.mta();
        const plain = {
          client: { hostname: 'mail.example.org', address: '192.0.2.7' },
          helo: 'mail.example.org',
          sender: 'a@example.org',
          recipients: ['b@example.com'],
        };
        expect((await mta.sendMessage(MAIL, plain)).verdict).toBe('continue');
        await using other = await server.mta();
        const refused = await other.sendMessage(eml ?? MAIL, { ...plain, ...bad });
        expect(refused).toMatchObject({ verdict: 'reject', reply: { enhanced } });
        expect((await filter.history.find({}))[0]?.findings).toMatchObject([{ name: finding }]);
      } finally {
        await filter.close();
      }
    },
  );
});
