/** A name server on loopback that does exactly what a test says, faults included. */
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import type { AddressInfo, Server, Socket } from 'node:net';
import { createServer } from 'node:net';
import type DNS from 'dns2';
import { Packet } from 'dns2';

/** One query as the server got it. */
export interface ServerQuery {
  readonly packet: DNS.Packet;
  readonly name: string;
  readonly type: number;
  /** From which port it came. */
  readonly port: number;
  /** Sends a datagram to the client. */
  send(bytes: Buffer): void;
  /** Sends a datagram to the client from another port. */
  sendFromElsewhere(bytes: Buffer): void;
}

export interface TestServer {
  /** `127.0.0.1:PORT`, as createResolver() takes it. */
  readonly spec: string;
  /** The names asked over UDP, in order. */
  readonly asked: string[];
  [Symbol.asyncDispose](): Promise<void>;
}

export interface ServerBehaviour {
  readonly address?: string;
  readonly udp: (query: ServerQuery) => void;
  /** Called for each connection; without it TCP connections are refused. */
  readonly tcp?: (socket: Socket) => void;
}

export async function startDnsServer({
  address = '127.0.0.1',
  udp,
  tcp,
}: ServerBehaviour): Promise<TestServer> {
  const asked: string[] = [];
  const isIp6 = address.includes(':');
  const socket = createSocket(isIp6 ? 'udp6' : 'udp4');
  const elsewhere = createSocket(isIp6 ? 'udp6' : 'udp4');
  socket.on('message', (bytes, peer) => {
    const packet = Packet.parse(bytes);
    const [question] = packet.questions;
    const name = question?.name ?? '';
    asked.push(name);
    udp({
      packet,
      name,
      type: question?.type ?? 0,
      port: peer.port,
      send: (reply) => socket.send(reply, peer.port, peer.address),
      sendFromElsewhere: (reply) => elsewhere.send(reply, peer.port, peer.address),
    });
  });
  const connections = new Set<Socket>();
  const server = createServer((connection) => {
    connections.add(connection);
    connection.on('error', () => {}); // The client may leave in the middle: that is what is tested.
    connection.on('close', () => connections.delete(connection));
    tcp?.(connection);
  });
  const port = await listenOnBoth(server, socket, address);
  if (tcp === undefined) await new Promise((resolve) => server.close(resolve));
  elsewhere.bind(0, address);
  await once(elsewhere, 'listening');
  return {
    spec: isIp6 ? `[${address}]:${port}` : `${address}:${port}`,
    asked,
    async [Symbol.asyncDispose]() {
      socket.close();
      elsewhere.close();
      for (const connection of connections) connection.destroy();
      if (tcp !== undefined) await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Finds a port that is free for TCP and UDP alike: the system picks one for TCP, which may be taken for UDP. */
async function listenOnBoth(server: Server, socket: UdpSocket, address: string): Promise<number> {
  for (;;) {
    server.listen(0, address);
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    socket.bind(port, address);
    try {
      await once(socket, 'listening');
      return port;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
      await new Promise((resolve) => server.close(resolve));
    }
  }
}

/** A port of loopback on which nobody listens. */
export async function closedPort(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return `127.0.0.1:${port}`;
}

/** A reply to `query`, with what is given changed in it. */
export function replyTo(
  query: ServerQuery,
  parts: {
    readonly answers?: readonly Partial<DNS.Packet.Resource>[];
    readonly authorities?: readonly Partial<DNS.Packet.Resource>[];
    readonly header?: Partial<DNS.Packet.Header>;
    readonly question?: Partial<DNS.Packet.Question>;
  } = {},
): Buffer {
  const reply = new Packet(
    new Packet.Header({ id: query.packet.header.id, qr: 1, rd: 1, ra: 1, ...parts.header }),
  );
  reply.questions.push(
    new Packet.Question({ name: query.name, type: query.type, class: Packet.CLASS.IN, ...parts.question }),
  );
  const complete = (record: Partial<DNS.Packet.Resource>): DNS.Packet.Resource =>
    new Packet.Resource({ name: query.name, type: query.type, class: Packet.CLASS.IN, ttl: 300, ...record });
  reply.answers.push(...(parts.answers ?? []).map(complete));
  reply.authorities.push(...(parts.authorities ?? []).map(complete));
  return reply.toBuffer();
}

/** `bytes` with the length in front that TCP wants. */
export function framed(bytes: Buffer): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(bytes.length);
  return Buffer.concat([length, bytes]);
}
