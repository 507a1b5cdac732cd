import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Packet } from 'dns2';
import { describe, expect, it } from 'vitest';
import { PatternList } from '../../../lib/nameserver/index.ts';
import { RateLimit } from '../../../lib/nameserver/rate-limit.ts';
import { Responder } from '../../../lib/nameserver/responder.ts';
import { type SesCheck, Zone } from '../../../lib/nameserver/zone.ts';

const TYPES = { A: 1, NS: 2, SOA: 6, HINFO: 13, TXT: 16, AAAA: 28, IXFR: 251, AXFR: 252, ANY: 255 };
const RCODES = ['NOERROR', 'FORMERR', 'SERVFAIL', 'NXDOMAIN', 'NOTIMP', 'REFUSED'];

function responderOf(lines: readonly string[], ses?: SesCheck, name = 'rh.test'): Responder {
  const list = new PatternList();
  for (const [i, line] of lines.entries()) list.add(line, i + 1);
  const zone = {
    name,
    list,
    ttl: 300,
    serial: 7,
    nameServers: ['ns.example.net'],
    mailbox: 'a.b@example.net',
    ses,
  };
  return new Responder(new Zone(zone), new RateLimit(2));
}

interface Asked {
  readonly type?: keyof typeof TYPES;
  readonly flags?: number;
  readonly class?: number;
  /** A UDP size for EDNS. */
  readonly edns?: number;
  readonly version?: number;
  readonly more?: string;
}

function packetOf(
  name: string,
  { type = 'A', flags = 0, class: of = 1, edns, version = 0, more }: Asked = {},
): Buffer {
  const labels = name === '' ? [] : name.split('.');
  const additional = edns === undefined ? [] : [0, 0, 41, edns >> 8, edns & 255, 0, version, 0x80, 0, 0, 0];
  const tail = Buffer.from(more ?? '', 'latin1');
  return Buffer.concat([
    Buffer.from([0x12, 0x34, flags >> 8, flags & 255, 0, 1, 0, 0, 0, 0, 0, edns === undefined ? 0 : 1]),
    Buffer.from(labels.flatMap((label) => [label.length, ...Buffer.from(label, 'latin1')])),
    Buffer.from([0, 0, TYPES[type], 0, of, ...additional]),
    tail,
  ]);
}

interface Reply {
  readonly status: string;
  readonly flags: string;
  readonly answers: readonly string[];
  readonly authorities: readonly string[];
  readonly edns: number | undefined;
  readonly question: string | undefined;
}

/** Read by another implementation. */
function read(bytes: Buffer): Reply {
  const packet = Packet.parse(bytes);
  const { header } = packet;
  expect(header.qr).toBe(1);
  expect(bytes.length).toBeGreaterThanOrEqual(12);
  const flags = [header.aa && 'aa', header.tc && 'tc', header.rd && 'rd', header.ra && 'ra'].filter(
    (flag) => flag,
  );
  const shown = (record: unknown): string => {
    const { name, type, ttl, address, data, primary, admin, serial, minimum, ns } = record as Record<
      string,
      unknown
    >;
    return [
      name,
      Object.entries(TYPES).find(([, number]) => number === type)?.[0],
      ttl,
      address,
      Array.isArray(data) ? data.join('') : data,
      ns,
      primary,
      admin,
      serial,
      minimum,
    ]
      .filter((part) => part !== undefined)
      .join(' ');
  };
  const [opt] = packet.additionals;
  expect(packet.questions.length).toBeLessThanOrEqual(1);
  return {
    status: RCODES[header.rcode] ?? String(header.rcode),
    flags: flags.join(' '),
    answers: packet.answers.map(shown),
    authorities: packet.authorities.map(shown),
    edns: opt === undefined ? undefined : Number(opt.class),
    question: packet.questions[0]?.name,
  };
}

const udp = { isTcp: false, address: '192.0.2.9' };
const tcp = { isTcp: true, address: '192.0.2.9' };

async function ask(responder: Responder, name: string, asked: Asked = {}, asker = udp): Promise<Reply> {
  const reply = await responder.respond(packetOf(name, asked), asker);
  if (reply === undefined) throw new Error('no reply');
  return read(reply);
}

const SOA = 'rh.test SOA 300 ns.example.net a.b.example.net 7 300';

describe('a question', () => {
  const server = responderOf([
    'evil.example 127.0.0.2,127.0.0.4 bad: $',
    '.evil.example 127.0.0.4,127.0.0.6 ttl=1m other',
    'quiet.example',
    '192.0.2.0/24 127.0.0.3 see http://x/?ip=$',
    '2001:db8::/32 127.0.0.3 $',
    ...Array.from({ length: 16 }, (_, i) => `.long.example 127.0.${i}.7 ${'x'.repeat(990)}${i}`),
    ...Array.from({ length: 3 }, (_, i) => `.middle.example 127.0.${i}.7 ${'x'.repeat(300)}${i}`),
  ]);

  it('for a listed name has all codes of all lines, and the shortest of their times', async () => {
    expect(await ask(server, 'evil.example.rh.test')).toEqual({
      status: 'NOERROR',
      flags: 'aa',
      answers: ['127.0.0.2', '127.0.0.4', '127.0.0.6'].map((code) => `evil.example.rh.test A 60 ${code}`),
      authorities: [],
      edns: undefined,
      question: 'evil.example.rh.test',
    });
    expect((await ask(server, 'a.evil.example.rh.test')).answers).toHaveLength(2);
  });

  it('for the reason has each text once, with what was asked for', async () => {
    const { answers } = await ask(server, 'Evil.EXAMPLE.rh.test', { type: 'TXT' });
    expect(answers.toSorted()).toEqual([
      'Evil.EXAMPLE.rh.test TXT 60 bad: evil.example',
      'Evil.EXAMPLE.rh.test TXT 60 other',
    ]);
    const { answers: ip4 } = await ask(server, '7.2.0.192.rh.test', { type: 'TXT' });
    expect(ip4).toEqual(['7.2.0.192.rh.test TXT 300 see http://x/?ip=192.0.2.7']);
    const nibbles = `1${'.0'.repeat(23)}.8.b.d.0.1.0.0.2.rh.test`;
    expect((await ask(server, nibbles, { type: 'TXT' })).answers).toEqual([`${nibbles} TXT 300 2001:db8::1`]);
  });

  it('for what a listed name has not is answered with nothing', async () => {
    const nothing = { status: 'NOERROR', answers: [], authorities: [SOA] };
    expect(await ask(server, 'quiet.example.rh.test', { type: 'TXT' })).toMatchObject(nothing);
    expect(await ask(server, 'quiet.example.rh.test', { type: 'AAAA' })).toMatchObject(nothing);
    expect(await ask(server, 'example.rh.test')).toMatchObject(nothing);
  });

  it('for a name that is not listed says so, and for how long', async () => {
    expect(await ask(server, 'good.example.rh.test')).toMatchObject({
      status: 'NXDOMAIN',
      flags: 'aa',
      answers: [],
      authorities: [SOA],
    });
    expect(await ask(server, '7.2.0.193.rh.test')).toMatchObject({ status: 'NXDOMAIN' });
  });

  it('for the zone itself has SOA and NS', async () => {
    expect(await ask(server, 'rh.test', { type: 'SOA' })).toMatchObject({ answers: [SOA], flags: 'aa' });
    expect(await ask(server, 'RH.Test', { type: 'NS' })).toMatchObject({
      answers: ['RH.Test NS 300 ns.example.net'],
    });
    expect(await ask(server, 'rh.test')).toMatchObject({
      status: 'NOERROR',
      answers: [],
      authorities: [SOA],
    });
  });

  it('for everything gets little', async () => {
    for (const name of ['rh.test', 'evil.example.rh.test']) {
      const { status, answers } = await ask(server, name, { type: 'ANY' });
      expect([status, answers.length, answers[0]?.split(' ')[1]]).toEqual(['NOERROR', 1, 'HINFO']);
    }
    expect(await ask(server, 'good.example.rh.test', { type: 'ANY' })).toMatchObject({ status: 'NXDOMAIN' });
  });

  it('outside of the zone, of another class, or for the whole zone is refused', async () => {
    const refused = { status: 'REFUSED', flags: '', answers: [], authorities: [] };
    for (const name of ['', 'test', 'xrh.test', 'evil.example', 'rh.test.x'])
      expect(await ask(server, name)).toMatchObject(refused);
    expect(await ask(server, 'evil.example.rh.test', { class: 3 })).toMatchObject(refused);
    expect(await ask(server, 'evil.example.rh.test', { class: 255 })).toMatchObject(refused);
    expect(await ask(server, 'rh.test', { type: 'AXFR' }, tcp)).toMatchObject(refused);
    expect(await ask(server, 'rh.test', { type: 'IXFR' })).toMatchObject(refused);
  });

  it('keeps its case, its id, and that recursion was desired', async () => {
    const reply = await ask(server, 'eViL.eXaMpLe.Rh.TesT', { flags: 0x0100 });
    expect(reply).toMatchObject({ question: 'eViL.eXaMpLe.Rh.TesT', flags: 'aa rd', status: 'NOERROR' });
    expect(Buffer.from((await server.respond(packetOf('x.rh.test'), udp)) ?? []).readUInt16BE()).toBe(0x1234);
  });

  it('with EDNS is answered with EDNS, and only then', async () => {
    expect(await ask(server, 'evil.example.rh.test', { edns: 4096 })).toMatchObject({
      edns: 1232,
      status: 'NOERROR',
    });
    expect(await ask(server, 'x.org', { edns: 4096 })).toMatchObject({ edns: 1232, status: 'REFUSED' });
    const bytes = await server.respond(packetOf('evil.example.rh.test', { edns: 4096, version: 1 }), udp);
    // BADVERS: 16, whose upper bits are in the OPT record; its DO bit comes back.
    expect(bytes?.subarray(-11).toString('hex')).toBe('00002904d00100800000' + '00');
    expect((bytes?.[3] ?? 0) & 15).toBe(0);
  });

  it('whose answer is too long is answered over TCP', async () => {
    const truncated = { flags: 'aa tc', status: 'NOERROR', answers: [], authorities: [] };
    expect(await ask(server, 'middle.example.rh.test', { type: 'TXT' })).toMatchObject(truncated);
    expect(await ask(server, 'middle.example.rh.test', { type: 'TXT', edns: 900 })).toMatchObject({
      ...truncated,
      edns: 1232,
    });
    expect((await ask(server, 'middle.example.rh.test', { type: 'TXT', edns: 1232 })).answers).toHaveLength(
      3,
    );
    expect(await ask(server, 'long.example.rh.test', { type: 'TXT', edns: 65_535 })).toMatchObject(truncated);
    const { answers, flags } = await ask(server, 'long.example.rh.test', { type: 'TXT' }, tcp);
    expect([answers.length, flags]).toEqual([16, 'aa']);
    expect(answers[0]).toContain('x'.repeat(990));
  });

  it('may have the longest names', async () => {
    const head = `${'a'.repeat(63)}.`.repeat(3);
    const longest = `${head}${'b'.repeat(253 - head.length - 8)}.rh.test`;
    expect(longest).toHaveLength(253);
    expect(await ask(server, longest)).toMatchObject({ status: 'NXDOMAIN' });
    expect(await ask(server, `b${longest}`)).toMatchObject({ status: 'FORMERR' });
  });
});

describe('a packet', () => {
  const file = join(import.meta.dirname, '../../../../shared/cases/dns/malformed.json');
  const cases: { name: string; hex: string; want: string }[] = existsSync(file)
    ? JSON.parse(readFileSync(file, 'utf8')).cases
    : [];
  const server = responderOf(['ded304.com 127.0.0.2']);
  const respond = async (bytes: Buffer) => await server.respond(bytes, udp);

  it.each(cases)('malformed: $name', async ({ hex, want }) => {
    const bytes = Buffer.from(hex, 'hex');
    const reply = await respond(bytes);
    if (want === 'none') return expect(reply).toBeUndefined();
    const { status, edns, question, answers } = read(reply ?? Buffer.alloc(0));
    if (want.startsWith('answer')) {
      expect({ question, answers: answers.length }).toEqual({ question: 'DeD304.CoM.rh.test', answers: 1 });
    } else {
      expect(status).toBe(want.split(' ')[0]);
      expect(edns !== undefined).toBe(want.includes('OPT'));
    }
  });

  it.each([
    ['a reply', '123481000001000000000000' + '0161000001' + '0001', undefined],
    ['eleven bytes', '1234010000010000000000', undefined],
    ['a status query', '123410000001000000000000' + '016100' + '00010001', 4],
    ['no question', '123401000000000000000000', 1],
    ['a record in the answer', '123401000001000100000000' + '016100' + '00010001', 1],
    ['a record in the authority', '123401000001000000010000' + '016100' + '00010001', 1],
    ['three additional records', '123401000001000000000003' + '016100' + '00010001', 1],
    ['an additional record that is not there', '123401000001000000000001' + '016100' + '00010001', 1],
    [
      'an OPT with a name',
      '123401000001000000000001' + '016100' + '00010001' + '016100' + '002904d0' + '00000000' + '0000',
      1,
    ],
    ['two OPTs', `12340100000100000000000201610000010001${'00002904d0000000000000'.repeat(2)}`, 1],
    [
      'an OPT whose data is cut',
      '123401000001000000000001' + '016100' + '00010001' + '00002904d0000000000004',
      1,
    ],
    ['a question cut in its type', '123401000001000000000000' + '016100' + '0001', 1],
    ['a label of 64', `12340100000100000000000040${'61'.repeat(64)}0000010001`, 1],
    ['bytes behind the end', `12340100000100000000000001610000010001${'ff'.repeat(9)}`, 5],
    [
      'a TSIG behind the OPT',
      '123401000001000000000002' +
        '016100' +
        '00010001' +
        '00002904d0000000000000' +
        '00' +
        '00fa00ff000000000000',
      5,
    ],
  ])('that is %s', async (_, hex, rcode) => {
    const reply = await respond(Buffer.from(hex, 'hex'));
    expect(reply === undefined ? undefined : (reply[3] ?? 0) & 15).toBe(rcode);
  });

  it('that is truncated for a client beyond its limit has nothing but the question', () => {
    expect(
      read(server.truncated(packetOf('ded304.com.rh.test', { edns: 1232 })) ?? Buffer.alloc(0)),
    ).toMatchObject({
      flags: 'aa tc',
      answers: [],
      question: 'ded304.com.rh.test',
    });
    expect(server.truncated(Buffer.from('12348180000100000000000001610000010001', 'hex'))).toBeUndefined();
    expect(server.truncated(Buffer.from('123401000000000000000000', 'hex'))).toBeUndefined();
  });
});

describe('a signature', () => {
  const asked: string[] = [];
  const ses: SesCheck = (local, domain) => {
    asked.push(`${local}@${domain}`);
    if (domain === 'away.example') throw new Error('the store is away');
    return Promise.resolve(/^ses=good=joe\.doe$/i.test(local));
  };
  const askedFor = async (name: string, zone?: string, asker = udp) => {
    asked.length = 0;
    return await ask(responderOf(['x.example'], ses, zone), name, {}, asker);
  };

  it('is asked for with its domain', async () => {
    const { answers, status } = await askedFor('SES=GOOD=joe.doe._ses.example.com.rh.test');
    expect([status, answers]).toEqual([
      'NOERROR',
      ['SES=GOOD=joe.doe._ses.example.com.rh.test A 0 127.0.0.2'],
    ]);
    expect(asked).toEqual(['SES=GOOD=joe.doe@example.com']);
  });

  it('is asked for without, at the zone and above it, as it is and in lower case', async () => {
    expect(await askedFor('SES=BAD=Joe._ses.rh.example.org', 'rh.example.org')).toMatchObject({
      status: 'NXDOMAIN',
    });
    const locals = ['SES=BAD=Joe', 'ses=bad=joe'];
    expect(asked).toEqual(
      ['rh.example.org', 'example.org'].flatMap((domain) => locals.map((local) => `${local}@${domain}`)),
    );
  });

  it('is asked for in a zone of its own', async () => {
    expect((await askedFor('SES=GOOD=joe.doe._ses.example.org', '_ses.example.org')).answers).toHaveLength(1);
    expect(asked).toEqual(['SES=GOOD=joe.doe@example.org']);
  });

  it('that a sender lacks is not looked for', async () => {
    for (const name of [
      'joe._ses.rh.test',
      '_ses.rh.test',
      '_ses.example.com.rh.test',
      'joe.x._ses.example.com.rh.test',
    ])
      expect(await askedFor(name)).toMatchObject({ status: 'NOERROR', answers: [] });
    expect(asked).toEqual([]);
  });

  it('is no matter of the list', async () => {
    expect(await askedFor('x.example.rh.test')).toMatchObject({
      answers: ['x.example.rh.test A 300 127.0.0.2'],
    });
  });

  it('that cannot be looked up is to be asked for again', async () => {
    expect(await askedFor('SES=X=joe._ses.away.example.rh.test')).toMatchObject({
      status: 'SERVFAIL',
      flags: '',
    });
  });

  it('is not guessed: wrong ones are counted by network, good ones are not', async () => {
    const server = responderOf([], ses);
    const good = 'SES=GOOD=joe.doe._ses.example.com.rh.test';
    for (let i = 0; i < 5; i++) expect((await ask(server, good)).status).toBe('NOERROR');
    for (let i = 0; i < 2; i++)
      expect((await ask(server, `SES=BAD${i}=x._ses.example.com.rh.test`)).status).toBe('NXDOMAIN');
    expect((await ask(server, 'SES=BAD=x._ses.example.com.rh.test', {}, tcp)).status).toBe('REFUSED');
    expect((await ask(server, good, {}, { isTcp: false, address: '192.0.2.77' })).status).toBe('REFUSED');
    expect((await ask(server, good, {}, { isTcp: false, address: '198.51.100.1' })).status).toBe('NOERROR');
    expect((await ask(server, 'x.rh.test')).status).toBe('NXDOMAIN');
  });

  it('that is looked up does not mix with what is asked meanwhile', async () => {
    let decide: (isGood: boolean) => void = () => {};
    const server = responderOf(['x.example'], () => new Promise((resolve) => (decide = resolve)));
    const waiting = server.respond(packetOf('SES=G=a._ses.example.com.rh.test'), udp);
    expect((await ask(server, 'x.example.rh.test')).answers).toHaveLength(1);
    decide(true);
    expect(read((await waiting) ?? Buffer.alloc(0))).toMatchObject({
      question: 'SES=G=a._ses.example.com.rh.test',
      answers: ['SES=G=a._ses.example.com.rh.test A 0 127.0.0.2'],
    });
  });

  it.each([
    ['while the store is away', 'SES=X=a._ses.away.example.rh.test', 'SERVFAIL', 0],
    ['beyond the limit', 'SES=BAD=a._ses.example.com.rh.test', 'REFUSED', 3],
  ])('that is looked up together with others has a reply of its own: %s', async (_, name, status, before) => {
    const server = responderOf([], ses);
    for (let i = 0; i < before; i++) await ask(server, name);
    const names = [name, name.replace('=a.', '=b.'), name.replace('=a.', '=c.')];
    const replies = await Promise.all(names.map((one) => server.respond(packetOf(one), udp)));
    expect(replies.map((reply) => read(reply ?? Buffer.alloc(0)))).toMatchObject(
      names.map((question) => ({ question, status })),
    );
  });
});
