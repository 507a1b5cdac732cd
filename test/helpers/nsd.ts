/** nsd, a real name server, on an unused port of loopback. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createResolver } from '../../lib/dns/index.ts';
import { startServer, stopServer } from './mta.ts';
import { unusedPort } from './wait.ts';

/** A running name server. It refuses to speak of names outside its zone. */
export interface Nsd extends AsyncDisposable {
  /** `127.0.0.1:PORT`, as createResolver() takes it. */
  readonly spec: string;
}

/**
 * Serves one zone. It answers when this resolves.
 * @param zone its name
 * @param file the zone file, with the SOA and NS records
 */
export async function startNsd(zone: string, file: string): Promise<Nsd> {
  const directory = await mkdtemp(join(tmpdir(), 'nsd-'));
  const port = await unusedPort();
  const spec = `127.0.0.1:${port}`;
  const config = join(directory, 'nsd.conf');
  const pidFile = join(directory, 'nsd.pid');
  await writeFile(join(directory, 'zone'), `$ORIGIN ${zone}.\n${file}`);
  await writeFile(
    config,
    `server:
  ip-address: 127.0.0.1@${port}
  username: ""
  chroot: ""
  zonesdir: "${directory}"
  pidfile: "${pidFile}"
  xfrdfile: "${directory}/xfrd.state"
  xfrdir: "${directory}"
  zonelistfile: "${directory}/zone.list"
  server-count: 1
remote-control:
  control-enable: no
zone:
  name: ${zone}
  zonefile: zone
`,
  );
  const probe = createResolver({ servers: [spec], timeout: 100, tries: 1 });
  const isReady = async (): Promise<boolean> => (await probe.resolve(zone, 'NS')).status === 'ok';
  const server = await startServer('nsd', ['-d', '-c', config], isReady);
  return {
    spec,
    async [Symbol.asyncDispose]() {
      await stopServer(server, pidFile);
      await rm(directory, { recursive: true });
    },
  };
}
