/**
 * Loads the addon and declares all of its surface. What crosses is data: batches of tickets come up as bytes,
 * verdicts go down.
 *
 * A batch is one buffer of tickets. Numbers are little-endian; a text is its length (u32) and its bytes.
 *
 *     ticket  := u32 length of records, u32 ticket, u32 session, u32 plan, u8 stage, u8 body apart, u16 0, records
 *     record  := u8 stage, macros, what belongs to the stage
 *     macros  := u8 count, and if there are any: u32 length, then for each u8 index in the plan, and text, or 0xffffffff
 *                where the name has no value any more
 *     negotiate: u32 actions, u32 steps         connect: text host name, u8 family, u16 port, text address
 *     helo, unknown: text                       envfrom, envrcpt: u32 count, texts
 *     header: u32 count, text (of name, value texts)
 *     body: u8 complete, u8 apart, u32 count, u32 chunk lengths, then text, or if apart only u32 length
 */
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { MilterError } from '../../errors.ts';
import type { EnginePlan, EngineStats } from '../engine.ts';

/** A plan as it crosses: its words are those of an EnginePlan, but for the reply, which is packed. */
export interface NativePlan extends Omit<EnginePlan, 'onError'> {
  readonly onError: { readonly verdict: number; readonly packed: Buffer | undefined };
}

/** Every value is given; 0, -1 and '' mean libmilter's default. */
export interface NativeOptions {
  readonly socket: string;
  readonly unixPath: string;
  readonly socketMode: number;
  readonly socketGroup: number;
  readonly backlog: number;
  readonly timeoutSeconds: number;
  readonly debug: number;
  readonly maxDataSize: number;
  readonly maxConnections: number;
}

/** What the addon calls. All of it on the event loop's thread. */
export interface NativeCallbacks {
  /** A batch of tickets, and the large bodies that they mention, in order. To be followed by `resume()`. */
  batch(tickets: Buffer, bodies: readonly Buffer[] | undefined): void;
  /** Timers and sockets had to wait for several batches: call `resume()` when they had their turn. */
  later(): void;
  /** Listening at `address`, or, with a `code`, not: `address` then says why. */
  started(address: string, code: string): void;
  /** smfi_main() came home: as asked, or (`wanted` false) by itself with this result. */
  stopped(wanted: boolean, result: number): void;
}

/** One libmilter and its listener. */
export interface NativeServer {
  start(): void;
  addPlan(plan: NativePlan): void;
  /** New connections follow this plan. */
  usePlan(id: number): void;
  /** An error if there is none with that id, or new connections follow it. */
  removePlan(id: number): void;
  /** Answers a ticket. False when it was answered already: its deadline passed, or the server closed. */
  settle(ticket: number, verdict: number, packed?: Buffer): boolean;
  /** smfi_getsymval, while the ticket waits. */
  lookup(ticket: number, name: string): Buffer | undefined;
  /** Wakes the callbacks whose tickets were settled since the last batch, and hands over the next one. */
  resume(): void;
  /** Running messages may take `grace` milliseconds to finish. */
  close(grace: number): void;
  /** Whether the server keeps the process alive. */
  holdLoop(hold: boolean): void;
  stats(): EngineStats;
}

interface Addon {
  readonly Server: new (options: NativeOptions, callbacks: NativeCallbacks) => NativeServer;
  describeLibrary(): LibmilterInfo | { readonly fault: string };
}

/** The user's libmilter. */
export interface LibmilterInfo {
  /** The file that was loaded. */
  readonly path: string;
  /** As smfi_version() tells it, `1.0.1`. */
  readonly version: string;
  /** Whether a few threads serve all connections, as on Debian and Ubuntu, instead of one each. */
  readonly workerPool: boolean;
  /**
   * Whether it waits for its sockets by select() instead of poll(), as on Fedora, RHEL and Alpine. It can then use no
   * descriptor above 1,023, and {@link serve} takes at most 900 connections.
   */
  readonly usesSelect: boolean;
  /**
   * Whether its lists of macros were found in its memory. Then an MTA's odd list does no harm, and nothing of one
   * message, recipient or HELO is seen in the next although the MTA sends no macros with that.
   */
  readonly mendsMacros: boolean;
}

/** What there is to do for whoever cannot have the addon. */
const WITHOUT = 'or use the engine "js", which needs none (MILTER_ENGINE=js)';

let addon: Addon | undefined;

/**
 * The addon, loaded when it is first needed: importing the package works everywhere.
 * @throws MilterError `ERR_MILTER_UNSUPPORTED` on Windows, `ERR_MILTER_LIBRARY` when the addon cannot be loaded
 */
export function loadAddon(): Addon {
  if (addon !== undefined) return addon;
  if (process.platform === 'win32') {
    throw new MilterError(
      'ERR_MILTER_UNSUPPORTED',
      'Windows has no libmilter; use the engine "js", or run the filter on the mail server',
    );
  }
  const require = createRequire(import.meta.url);
  const path = findAddon(require);
  try {
    addon = require(path) as Addon;
  } catch (cause) {
    const advice = `build it on this machine: npm rebuild libmilter; ${WITHOUT}`;
    throw new MilterError('ERR_MILTER_LIBRARY', `the addon ${path} cannot be loaded; ${advice}`, { cause });
  }
  return addon;
}

/** The addon's file: what was built on this machine, or else the prebuilt one that fits. */
function findAddon(require: NodeJS.Require): string {
  const nodeGypBuild = require('node-gyp-build') as { resolve(folder: string): string };
  try {
    return nodeGypBuild.resolve(fileURLToPath(new URL('../../..', import.meta.url)));
  } catch {
    const { adviseOnAddon } = require('../../../native/requirements.cjs') as {
      adviseOnAddon(): { readonly why: string; readonly how: string };
    };
    const { why, how } = adviseOnAddon();
    throw new MilterError('ERR_MILTER_LIBRARY', `${why}; ${how}; ${WITHOUT}`);
  }
}

/**
 * Finds the user's libmilter, as serving would.
 * @throws MilterError `ERR_MILTER_LIBRARY` when there is none
 */
export function libmilterInfo(): LibmilterInfo {
  const description = loadAddon().describeLibrary();
  if ('fault' in description) throw new MilterError('ERR_MILTER_LIBRARY', description.fault);
  return description;
}
