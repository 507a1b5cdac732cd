/**
 * Parts that the scan of a message cannot see: in encoded bodies, and behind another boundary than the declared one.
 * A mail reader that looks there would show them, so they must be found.
 */
import { guessBoundary } from './boundary.ts';
import { decodeBody } from './encodings.ts';
import { holdsMessage, type Layout, type ScanContext, Scanner } from './layout.ts';

/** What a second look at a body found. */
export interface HiddenParts {
  /** The message inside, or a multipart's body. */
  readonly kind: 'message' | 'multipart';
  readonly layout: Layout;
  /** Whether the parts lie in the decoded body. */
  readonly encoded: boolean;
}

/**
 * Looks again at the body of a container in which the scan found no parts.
 * @param rescans How many bodies around this one were looked at again: each level may cost as much as the message is long.
 */
export function findHidden(outer: Layout, context: ScanContext, rescans: number): HiddenParts | undefined {
  const { type, depth, boundary, source, bodyStart, end } = outer;
  const isMessage = holdsMessage(type);
  if (outer.children.length > 0 || outer.close >= 0 || !(isMessage || type.startsWith('multipart/'))) {
    return undefined;
  }
  const { limits, problems } = context;
  if (depth >= limits.depth) return undefined;
  if (rescans >= limits.rescans) {
    problems.push({ limit: 'rescans', value: limits.rescans, offset: outer.start });
    return undefined;
  }
  const { encoding } = outer.fields;
  const encoded = encoding !== 'identity';
  const body = decodeBody(source.subarray(bodyStart, end), encoding);
  if (isMessage) {
    if (!encoded) return undefined;
    const scanner = new Scanner(body, context, { depth: depth + 1 });
    scanner.run();
    return { kind: 'message', layout: scanner.root, encoded };
  }
  for (const candidate of encoded ? [boundary, guessBoundary(body)] : [guessBoundary(body)]) {
    if (candidate === undefined) continue;
    const scanner = new Scanner(body, context, { depth, multipart: { type, boundary: candidate } });
    scanner.run();
    if (scanner.root.children.length > 0) return { kind: 'multipart', layout: scanner.root, encoded };
  }
  return undefined;
}
