/** Held by the compiler: an option that does not exist, or has a value of another type, does not compile. Nothing here runs. */
import { cached, createResolver, DnsList, type Resolver } from '../../lib/dns/index.ts';
import { type Filter, type Server, serve } from '../../lib/index.ts';
import { createPart, defang, type MimeMessage, parseMessage } from '../../lib/mime/index.ts';
import { checkHost } from '../../lib/spf/index.ts';
import { createSes, createSrs, serveSocketMap } from '../../lib/srs/index.ts';
import { connectMta, fakeSession, MemoryResolver, type MtaConnection } from '../../lib/testing/index.ts';

export async function refused(
  filter: Filter,
  server: Server,
  resolver: Resolver,
  message: MimeMessage,
  mta: MtaConnection,
): Promise<void> {
  const bytes = Buffer.alloc(0);
  const mail = { sender: '<>', recipients: ['<a@example.com>'] };
  // @ts-expect-error: maxBody
  await serve(filter, { socket: 'inet:0@127.0.0.1', maxBdy: 1 });
  // @ts-expect-error: 'tempfail' | 'reject' | 'accept' | 'continue'
  await serve(filter, { socket: 'inet:0@127.0.0.1', onError: 'rejct' });
  // @ts-expect-error: envrcpt
  await serve(filter, { socket: 'inet:0@127.0.0.1', deadlines: { rcpt: 1 } });
  // @ts-expect-error: deadline
  await server.close({ deadlin: 1 });
  // @ts-expect-error: deadlines
  fakeSession(filter, { deadline: {} });
  // @ts-expect-error: version
  await connectMta('inet:1@127.0.0.1', { verison: 6 });
  // @ts-expect-error: maxAge
  createSrs({ secrets: ['a'], maxage: 1 });
  // @ts-expect-error: '=' | '+' | '-'
  createSrs({ secrets: ['a'], separator: '_' });
  // @ts-expect-error: secrets
  createSes({ expiration: 5 });
  // @ts-expect-error: a path, or a host and a port
  await serveSocketMap({ listen: { host: '127.0.0.1' }, answer: () => ({ status: 'NOTFOUND' }) });
  // @ts-expect-error: helo
  await mta.sendMessage(bytes, { ...mail, hello: 'mx' });
  // @ts-expect-error: servers
  createResolver({ server: ['192.0.2.1'] });
  // @ts-expect-error: 'dns2' | 'node'
  createResolver({ backend: 'bind' });
  // @ts-expect-error: maxTtl
  cached(resolver, { maxTTL: 1 });
  // @ts-expect-error: codes
  new DnsList('bl.example.net', { code: ['127.0.0.2'] });
  // @ts-expect-error: ttl
  new MemoryResolver({}, { TTL: 1 });
  // @ts-expect-error: timeout
  await checkHost({ sender: '', timout: 1 });
  // @ts-expect-error: limits
  parseMessage(bytes, { limit: {} });
  // @ts-expect-error: depth
  parseMessage(bytes, { limits: { deep: 1 } });
  // @ts-expect-error: disposition
  createPart({ content: '', dispositon: 'inline' });
  // @ts-expect-error: extensions
  await defang(message, { extension: ['exe'] });
}
