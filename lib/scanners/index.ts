/**
 * Clients of virus and spam scanners: clamd, a command, spamd, rspamd. Each gives what the scanner said, or fails with a
 * {@link ScannerError}; none takes for clean what it does not understand.
 */
export { Clamd, type ClamdScan } from './clamd.ts';
export { parseSessionReply, readClamdVerdict, type VirusVerdict } from './clamd-reply.ts';
export { type CommandLine, scanByCommand } from './command.ts';
export { type ScannerAddress, showAddress } from './connect.ts';
export { isDown, ScannerError, type ScannerFault } from './error.ts';
export { type Lesson, Rspamd, type RspamdMail } from './rspamd.ts';
export { type RspamdVerdict, readRspamdVerdict } from './rspamd-reply.ts';
export { Spamd } from './spamd.ts';
export { parseSpamdReply, readSpamdVerdict, type SpamdReply, type SpamdVerdict } from './spamd-reply.ts';
export type { ScannedRule } from './symbols.ts';
