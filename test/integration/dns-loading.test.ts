/** Which programs load dns2: only those that ask through the client that is made with it. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { replyTo, startDnsServer } from '../helpers/dns-server.ts';

const run = promisify(execFile);

/** Runs `code` with `lib(name)`, and resolves to the packages of node_modules that are loaded at its end. */
async function packagesLoaded(code: string): Promise<readonly string[]> {
  const lib = new URL('../../lib/', import.meta.url).href;
  const program = `
    import { registerHooks } from 'node:module';
    const loaded = new Set();
    registerHooks({
      resolve(specifier, context, next) {
        const found = next(specifier, context);
        const name = /\\/node_modules\\/((?:@[^/]+\\/)?[^/]+)\\//.exec(found.url)?.[1];
        if (name !== undefined) loaded.add(name);
        return found;
      },
    });
    const lib = (name) => import(new URL(name, ${JSON.stringify(lib)}));
    ${code}
    console.log(JSON.stringify([...loaded]));`;
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', program]);
  return JSON.parse(stdout) as string[];
}

it.each(['dns/index.ts', 'spf/index.ts', 'testing/index.ts', 'index.ts'])(
  'importing %s loads no dns2',
  async (name) => {
    expect(await packagesLoaded(`await lib('${name}');`)).not.toContain('dns2');
  },
);

it('a check with a resolver of its own, and making one of ours, load no dns2', async () => {
  const code = `
    const { checkHost } = await lib('spf/index.ts');
    const { MemoryResolver } = await lib('testing/index.ts');
    const { createResolver } = await lib('dns/index.ts');
    createResolver();
    await checkHost({ ip: '192.0.2.1', sender: 'a@example.com', resolver: new MemoryResolver({}) });`;
  expect(await packagesLoaded(code)).not.toContain('dns2');
});

it('the first question loads it', async () => {
  await using server = await startDnsServer({
    udp: (query) => query.send(replyTo(query, { answers: [{ address: '192.0.2.1' }] })),
  });
  const code = `
    const { createResolver } = await lib('dns/index.ts');
    const resolver = createResolver({ servers: ['${server.spec}'] });
    const { status } = await resolver.resolve('a.example', 'A');
    if (status !== 'ok') throw new Error(status);`;
  expect(await packagesLoaded(code)).toContain('dns2');
});
