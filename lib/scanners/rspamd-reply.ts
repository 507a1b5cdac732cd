/** What rspamd says to /checkv2. */
import { ScannerError, shownReply } from './error.ts';
import { isRuleName, MAX_RULES, type ScannedRule } from './symbols.ts';

/** What rspamd thinks of a message. */
export interface RspamdVerdict {
  /** `no action`, `greylist`, `add header`, `rewrite subject`, `soft reject`, `reject`, or one of the site's own. */
  readonly action: string;
  readonly score: number;
  /** From so many on it would reject. */
  readonly required: number;
  readonly rules: readonly ScannedRule[];
  /** What it would tell the client, on one line. */
  readonly message: string | undefined;
}

interface Json {
  readonly [key: string]: unknown;
  readonly action?: unknown;
  readonly score?: unknown;
  readonly required_score?: unknown;
  readonly symbols?: unknown;
  readonly messages?: unknown;
  readonly smtp_message?: unknown;
  readonly error?: unknown;
}

/**
 * Reads the body of a reply.
 * @throws ScannerError where it says nothing of a message
 */
export function readRspamdVerdict(body: string): RspamdVerdict {
  const json = parse(body);
  const { action, score, required_score: required, symbols = {}, messages, error } = json;
  if (typeof error === 'string') throw new ScannerError('refused', `rspamd says ${shownReply(error)}`);
  if (typeof action !== 'string' || !/^[\w -]{1,60}$/.test(action)) throw nonsense(body);
  if (!isNumber(score) || !isNumber(required) || !isObject(symbols)) throw nonsense(body);
  const text = isObject(messages) ? messages.smtp_message : undefined;
  return {
    action,
    score,
    required,
    rules: readRules(symbols),
    message: typeof text === 'string' ? text.slice(0, 300).replace(/[\p{C}\p{Zl}\p{Zp}]/gu, '?') : undefined,
  };
}

function readRules(symbols: Json): readonly ScannedRule[] {
  const rules: ScannedRule[] = [];
  for (const name in symbols) {
    const symbol = symbols[name];
    if (!isObject(symbol) || !isNumber(symbol.score) || !isRuleName(name)) continue;
    if (rules.push({ name, points: symbol.score }) === MAX_RULES) break;
  }
  return rules;
}

function parse(body: string): Json {
  try {
    const json: unknown = JSON.parse(body);
    if (isObject(json)) return json;
  } catch {
    // It is said below.
  }
  throw nonsense(body);
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && Math.abs(value) < 1e9;
}

function nonsense(body: string): ScannerError {
  return new ScannerError('nonsense', `rspamd says ${shownReply(body)}`);
}
