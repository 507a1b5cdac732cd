/**
 * Packs answers for the addon (native/core/answer.cc unpacks them): little-endian numbers, and strings
 * with their length before and a NUL behind, so that libmilter can be given a pointer into the packet.
 */

import type { Action } from '../../milter/replay.ts';
import type { Reject, Tempfail } from '../../milter/verdicts.ts';
import { encodeText } from '../../text.ts';
import type { AnswerParts } from '../engine.ts';

const NUL = Buffer.alloc(1);

/** The packed bytes; undefined where there is nothing to say. */
export function packAnswer({ reply, actions, plan }: AnswerParts): Buffer | undefined {
  if (reply === undefined && actions === undefined && plan === undefined) return undefined;
  const contents = (reply ? 1 : 0) | (actions ? 2 : 0) | (plan ? 4 : 0);
  const pieces: Buffer[] = [Buffer.of(contents)];
  if (reply !== undefined) pieces.push(...text(packReply(reply)));
  if (actions !== undefined) pieces.push(...text(packActions(actions)));
  if (plan !== undefined) pieces.push(u32(plan.id), u32(plan.actions), u32(plan.steps));
  return Buffer.concat(pieces);
}

function packReply(reply: Reject | Tempfail): Buffer {
  // libmilter takes each line for a format, in which `%%` is a percent sign.
  const lines = reply.lines.map((line) => encodeText(line.replaceAll('%', '%%')));
  return Buffer.concat([
    ...text(Buffer.from(String(reply.code))),
    ...text(Buffer.from(reply.enhanced ?? '')),
    u32(lines.length),
    ...lines.flatMap(text),
  ]);
}

function packActions(actions: readonly Action[]): Buffer {
  if (actions.length === 0) return Buffer.alloc(0);
  const pieces = [u32(actions.length)];
  for (const action of actions) {
    pieces.push(Buffer.of(action.kind), u32(action.index), ...text(action.first), ...text(action.second));
  }
  return Buffer.concat(pieces);
}

function u32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function text(bytes: Buffer): [Buffer, Buffer, Buffer] {
  return [u32(bytes.length), bytes, NUL];
}
