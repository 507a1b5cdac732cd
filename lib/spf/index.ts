/** `libmilter/spf`: the Sender Policy Framework, RFC 7208. */
import { checkNode } from '../node-version.ts';

export type { CheckOptions, CheckResult, SpfResult } from './check.ts';
export { bestGuess, checkHost } from './check.ts';
export type { TraceStep } from './evaluate.ts';
export type { AuthenticationResult, AuthenticationResults, CheckedMail, ReceivedSpf } from './headers.ts';
export {
  authenticationResults,
  parseAuthenticationResults,
  parseReceivedSpf,
  receivedSpf,
} from './headers.ts';
export type { LintFinding, LintNode, LintReport } from './lint.ts';
export { lintDomain } from './lint.ts';
export type { Directive, Qualified, RecordProblem, SpfRecord } from './record.ts';
export { isSpfRecord, parseRecord } from './record.ts';

checkNode();
