/**
 * Where stages come from and verdicts go: the one interface behind which the milter protocol is spoken, by libmilter
 * (libmilter.ts) or by Node itself (js.ts). An engine follows plans: it gathers the stages that need not be asked about,
 * hands them up with the next one that must, waits no longer than the plan says, and sends what was decided.
 */
import type { MilterError } from '../errors.ts';
import type { Logger } from '../logger.ts';
import type { HeaderBatch } from '../milter/header-list.ts';
import type { MacroNews } from '../milter/macros.ts';
import type { Action } from '../milter/replay.ts';
import type { Client, Negotiated } from '../milter/session.ts';
import type { Reject, Tempfail } from '../milter/verdicts.ts';
import type { Socket } from '../protocol/socket.ts';

/** What a plan tells an engine; arrays are indexed by stage. */
export interface EnginePlan {
  readonly id: number;
  /** A Mode for each stage. */
  readonly modes: readonly number[];
  /** How long a stage may wait for its verdict, in milliseconds. */
  readonly deadlines: readonly number[];
  /** The class overrides negotiate(), or a factory chooses the class. */
  readonly asksAtNegotiate: boolean;
  /** Ask for SMFIP_RCPT_REJ. */
  readonly rejectedRecipients: boolean;
  /** A late body handler wants the chunks as they came. */
  readonly bodyChunks: boolean;
  /** Bytes kept of one body. */
  readonly maxBody: number;
  /** What a stage that overran its deadline is answered with. */
  readonly onError: { readonly verdict: number; readonly reply: Reject | Tempfail | undefined };
  /** The names of macros in libmilter's form, at most 255, addressed by index. */
  readonly macros: readonly string[];
  /** Which of them are looked up at a stage. */
  readonly stageMacros: readonly (readonly number[])[];
  /** Names to ask the MTA for, between spaces; empty leaves that stage to the MTA. */
  readonly requestedMacros: readonly string[];
}

/** What may travel with a verdict. */
export interface AnswerParts {
  /** The reply that goes with reject or tempfail. */
  readonly reply?: Reject | Tempfail | undefined;
  /** All actions recorded for the message, in the order of their replay; undefined: as before. */
  readonly actions?: readonly Action[] | undefined;
  /** In negotiate only: the plan to follow, and the flags, `BY_PLAN` for those that follow from it. */
  readonly plan?: { readonly id: number; readonly actions: number; readonly steps: number } | undefined;
}

/** In place of steps: those that follow from the plan. */
export const BY_PLAN = 0xffff_ffff;

/** News that is no stage, in a ticket's place for the stage (native/core/ticket.h). */
export const Notice = { expired: 32, hangup: 33, refused: 34, replayFailed: 35 } as const;

/** One question to a session's filter, or news for it; what has been gathered comes along. */
export interface Ticket {
  /** To be settled under this number; 0 when nobody waits. For a notice the ticket that it is about. */
  readonly id: number;
  readonly session: number;
  readonly plan: number;
  /** A stage's number, or a Notice. */
  readonly stage: number;
  readonly records: Records;
}

/**
 * The stages that a ticket brings, read in order and once: {@link Records.stage}, then {@link Records.macros}, then what
 * belongs to that stage, if anything does.
 */
export interface Records {
  readonly done: boolean;
  /** Goes on to the next record. Returns the number of its stage. */
  stage(): number;
  /** What is new of macros; undefined where nothing is. */
  macros(): MacroNews | undefined;
  negotiation(): Negotiated;
  client(): Client;
  /** The name of helo, or an unknown command. */
  text(): string;
  /** The arguments of MAIL or RCPT: the address, always in angle brackets, then ESMTP parameters. */
  envelope(): { readonly address: string; readonly parameters: readonly string[] };
  headers(): HeaderBatch;
  body(): BodyRecord;
}

/** Some of a body. */
export interface BodyRecord {
  /** Whether this is all that came; else it is more than is kept, and nothing is. */
  readonly complete: boolean;
  /** In one piece, or as they came where the plan wants that. */
  readonly chunks: readonly Buffer[];
}

/** How many of something were made, and how many of them are gone. */
export interface Counter {
  /** How many were made since the start. */
  readonly created: number;
  /** How many of those are gone. The rest is under way. */
  readonly freed: number;
}

/** What an engine counts. */
export interface EngineStats {
  readonly sessions: Counter;
  readonly messages: Counter;
  readonly tickets: Counter;
}

/** What those who answer tickets need of an engine. */
export interface Backend {
  addPlan(plan: EnginePlan): void;
  /**
   * Forgets a plan; sessions that follow it keep it. An error if there is none with that id, or new connections follow
   * it. A negotiation that was answered with the plan fetches it a moment later: it is safe to remove when that session
   * has been heard of again.
   */
  removePlan(id: number): void;
  /** Answers a ticket. False when it was answered already: its deadline passed, or the server closed. */
  settle(ticket: number, verdict: number, parts: AnswerParts): boolean;
  /** The value of a macro, as smfi_getsymval gives it, while the ticket waits. */
  lookup(ticket: number, name: string): string | undefined;
}

/** How to listen. */
export interface EngineOptions {
  readonly socket: Socket;
  /** Permission bits of a unix socket; -1 leaves them to the umask. */
  readonly socketMode: number;
  /** The group's id; -1 leaves it. */
  readonly socketGroup: number;
  /** 0: as many as the system allows. */
  readonly backlog: number;
  /** Milliseconds that an MTA may be silent. */
  readonly timeout: number;
  readonly debug: number;
  /** Bytes of the largest packet. */
  readonly maxDataSize: number | undefined;
  /** Undefined: not asked for, so {@link DEFAULT_CONNECTIONS} or fewer. */
  readonly maxConnections: number | undefined;
  readonly logger: Logger;
}

/** How many connections are served at once by default. */
export const DEFAULT_CONNECTIONS = 1_000;

/** An engine that listens at one address. */
export interface EngineServer extends Backend {
  readonly name: 'libmilter' | 'js';
  /** So many are served at once. */
  readonly maxConnections: number;
  /** New connections follow this plan. To be called once before {@link start}. */
  usePlan(id: number): void;
  /**
   * Begins to listen, and resolves to where that is, as a libmilter spec with the real port.
   * @throws MilterError; nothing is left half-started
   */
  start(): Promise<string>;
  /** Running messages may take `grace` milliseconds to finish. Only the first call counts. */
  close(grace: number): void;
  /** Resolves when it has ended: with undefined as asked, else with the reason. Never rejects. */
  readonly closed: Promise<MilterError | undefined>;
  /** Whether it keeps the process alive, as it does from the start. */
  holdLoop(hold: boolean): void;
  stats(): EngineStats;
}

/** Makes a server, to which `take` gives its tickets; those of one session one after another. */
export type OpenEngine = (options: EngineOptions, take: (ticket: Ticket) => void) => EngineServer;
