/** The socket map that MTAs ask. A configuration that follows another takes over what that one listens at. */
import { groupId } from '../../../group.ts';
import { type MapAnswer, type MapListen, type SocketMapServer, serveSocketMap } from '../../../srs/index.ts';
import type { Services, SocketRights } from '../../kit.ts';

interface Listening {
  readonly server: Promise<SocketMapServer>;
  /** Of each configuration that is open; the last one answers. */
  readonly answers: MapAnswer[];
}

/** By where they listen. */
const listening = new Map<string, Listening>();

/**
 * Has questions answered that come to this address, until the function that this resolves to is called.
 * @throws MilterError where it cannot listen there
 */
export async function joinSocketMap(
  listen: MapListen,
  answer: MapAnswer,
  { log, socketRights }: Pick<Services, 'log' | 'socketRights'>,
): Promise<() => Promise<void>> {
  const key = 'path' in listen ? `unix:${listen.path}` : `inet:${listen.port}@${listen.host}`;
  const one = listening.get(key) ?? open();
  listening.set(key, one);
  one.answers.push(answer);
  const leave = async (): Promise<void> => {
    one.answers.splice(one.answers.indexOf(answer), 1);
    if (one.answers.length > 0) return;
    listening.delete(key);
    await (await one.server).close();
  };
  try {
    const { address } = await one.server;
    log.info({ socketmap: address }, 'the socket map is listening');
    return leave;
  } catch (error) {
    listening.delete(key);
    throw error;
  }

  function open(): Listening {
    const answers: MapAnswer[] = [];
    return {
      answers,
      server: serveSocketMap({
        listen: 'path' in listen ? { ...listen, ...rightsOf(socketRights) } : listen,
        answer: (map, question) => answers.at(-1)?.(map, question) ?? { status: 'TEMP', text: 'not ready' },
        logger: log,
      }),
    };
  }
}

function rightsOf({ mode, group }: SocketRights): { mode: number; group?: number } {
  const id = group === undefined ? undefined : groupId(group);
  if (group !== undefined && id === undefined)
    throw new Error(`/etc/group has no group ${JSON.stringify(group)}`);
  return id === undefined ? { mode } : { mode, group: id };
}
