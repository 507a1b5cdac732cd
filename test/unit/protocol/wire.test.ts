import { describe, expect, it } from 'vitest';
import { makeHeader } from '../../../lib/headers.ts';
import { encodeFrame } from '../../../lib/protocol/frames.ts';
import {
  decodeEomRequest,
  decodeNegotiation,
  decodeVerdict,
  encodeConnect,
  encodeHeader,
  encodeMacros,
  encodeNegotiation,
  encodeString,
} from '../../../lib/protocol/wire.ts';

const PROTOCOL = expect.objectContaining({ code: 'ERR_MILTER_PROTOCOL' });

/** The payload of a frame as text with one character a byte. */
function payload(frame: Buffer): string {
  return frame.toString('latin1', 5);
}

/** A frame from the filter; the text has one character a byte. */
function frame(command: string, text = ''): { command: string; payload: Buffer } {
  return { command, payload: Buffer.from(text, 'latin1') };
}

describe('what the MTA sends', () => {
  it('is a length that counts the command, the command, and the payload', () => {
    expect(encodeFrame('H', encodeString('mx.test', 'name')).toString('latin1')).toBe('\0\0\0\x09Hmx.test\0');
  });

  it('offers with three numbers', () => {
    expect(encodeNegotiation({ version: 6, actions: 0x1ff, steps: 0x1fffff }).toString('hex')).toBe(
      '0000000d4f00000006000001ff001fffff',
    );
  });

  it('names the stage to which macros belong', () => {
    expect(encodeMacros('envfrom', { i: '4XyZ', '{mail_addr}': '' }).toString('latin1')).toBe(
      '\0\0\0\x16DMi\x004XyZ\0{mail_addr}\0\0',
    );
    expect(encodeMacros('eom', {})).toHaveLength(0);
  });

  it.each([
    ['IPv4', { address: '192.0.2.7', port: 25 }, 'c\x004\x00\x19192.0.2.7\0'],
    ['IPv6', { address: '2001:db8::7' }, 'c\x006\0\x002001:db8::7\0'],
    ['a unix socket', { address: '/run/x' }, 'c\0L\0\0/run/x\0'],
    ['nowhere', undefined, 'c\0U'],
    ['a family that is told', { family: 'inet6', address: 'IPv6:::1' }, 'c\x006\0\0IPv6:::1\0'],
  ] as const)('tells of a client at %s', (_, client, expected) => {
    expect(payload(encodeConnect('c', client))).toBe(expected);
  });

  it.each([{ family: 'inet' }, { address: 'nowhere' }, { address: '192.0.2.7', port: 65_536 }] as const)(
    'refuses the client %j',
    (client) => {
      expect(() => encodeConnect('c', client)).toThrow(TypeError);
    },
  );

  it('keeps a header losslessly, its first space only where that was agreed', () => {
    const raw = Buffer.from('  caf\xe9\n\tfolded', 'latin1');
    expect(payload(encodeHeader('X', raw, true))).toBe('X\0  caf\xe9\n\tfolded\0');
    expect(payload(encodeHeader('X', raw, false))).toBe('X\0 caf\xe9\n\tfolded\0');
  });

  it('refuses a NUL, which no frame can carry', () => {
    expect(() => encodeString('a\0b', 'the name')).toThrow('the name holds a NUL');
    expect(() => encodeHeader('X', Buffer.of(0), true)).toThrow(TypeError);
  });
});

describe('what the filter negotiates', () => {
  const numbers = '\0\0\0\x06\0\0\x01\xff\0\x10\x04\0';

  it('is three numbers and lists of macros', () => {
    expect(decodeNegotiation(frame('O', `${numbers}\0\0\0\x02i {mail_addr}\0\0\0\0\x05\0`))).toEqual({
      version: 6,
      actions: 0x1ff,
      steps: 0x100400,
      symlists: { envfrom: ['i', '{mail_addr}'], eom: [] },
    });
  });

  it.each([
    ['another command', frame('c')],
    ['too few bytes', frame('O', '\0\0\0\x06')],
    ['a list of an unknown stage', frame('O', `${numbers}\0\0\0\x07i\0`)],
    ['a list without an end', frame('O', `${numbers}\0\0\0\x02i`)],
    ['half a number', frame('O', `${numbers}\0\0`)],
  ])('is not %s', (_, answer) => {
    expect(() => decodeNegotiation(answer)).toThrow(PROTOCOL);
  });
});

describe('what the filter answers', () => {
  it.each([
    ['550 5.7.1 no', { code: 550, enhanced: '5.7.1', lines: ['no'] }],
    ['550-5.7.1 one\r\n550 5.7.1 two', { code: 550, enhanced: '5.7.1', lines: ['one', 'two'] }],
    ['554 5.0 stars', { code: 554, enhanced: null, lines: ['5.0 stars'] }],
    ['554 5.7.1', { code: 554, enhanced: '5.7.1', lines: [''] }],
    ['554', { code: 554, enhanced: null, lines: [''] }],
    ['554 100%% of caf\xe9', { code: 554, enhanced: null, lines: ['100% of caf\udce9'] }],
  ])('reads the reply %j', (text, reply) => {
    expect(decodeVerdict(frame('y', `${text}\0`))).toEqual({ verdict: 'reject', reply });
  });

  it('takes the verdict from the code of the reply', () => {
    expect(decodeVerdict(frame('y', '421 4.7.0 later\0'))).toMatchObject({ verdict: 'tempfail' });
  });

  it.each(['250 ok', 'no', '5500 x', ''])('refuses the reply %j', (text) => {
    expect(() => decodeVerdict(frame('y', `${text}\0`))).toThrow(PROTOCOL);
  });

  it('knows a change from a verdict', () => {
    expect(decodeVerdict(frame('h', 'X\0v\0'))).toBeUndefined();
    expect(decodeEomRequest(frame('c'), true)).toBeUndefined();
  });
});

describe('what the filter changes', () => {
  it('puts the space after the colon where the filter leaves that to the MTA', () => {
    const header = makeHeader('X', Buffer.from(' v'));
    expect(decodeEomRequest(frame('h', 'X\0v\0'), false)).toMatchObject({ header: { raw: header.raw } });
    expect(decodeEomRequest(frame('h', 'X\0 v\0'), true)).toMatchObject({ header: { raw: header.raw } });
  });

  it('deletes a header by an empty value', () => {
    expect(decodeEomRequest(frame('m', '\0\0\0\x02X\0\0'), true)).toEqual({
      type: 'changeHeader',
      name: 'X',
      occurrence: 2,
      header: null,
    });
  });

  it.each([
    ['h', 'X\0'],
    ['h', 'X\0v'],
    ['i', '\0\0'],
    ['m', '\0\0\0\x01X\0'],
    ['+', ''],
    ['-', ''],
    ['q', ''],
    ['e', ''],
  ])('refuses %j with the payload %j', (command, text) => {
    expect(() => decodeEomRequest(frame(command, text), true)).toThrow(PROTOCOL);
  });
});
