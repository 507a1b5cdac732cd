/**
 * Changing one part of a message and leaving every other byte alone.
 */
import { checkNode } from '../node-version.ts';

export type { HeaderChange } from '../headers.ts';
export { type ArchiveListing, type ArchiveMember, listArchive } from './archive.ts';
export { type ArchiveLimits, type ArchiveProblem, defaultArchiveLimits } from './archive-budget.ts';
export {
  type ArchiveFormat,
  archiveFormat,
  type ReadFormat,
  type UnreadFormat,
  unreadFormats,
} from './archive-formats.ts';
export { listPart } from './archive-part.ts';
export { bannedContentTypes, bannedExtension, bannedExtensions, modernBannedExtensions } from './banned.ts';
export { isBodyText, sealOf } from './body.ts';
export { appendText, appendTextInTurns, type BodyText, prependText } from './body-text.ts';
export { createPart, type NewPart } from './create.ts';
export {
  type DefangPolicy,
  type DefangReport,
  type Disarming,
  defang,
  defaultWarning,
  disarm,
  type PoisonousPart,
} from './defang.ts';
export type { Encoding } from './encodings.ts';
export type { PartHeaders } from './header-section.ts';
export { cleanHtml, type HtmlRemoval } from './html.ts';
export {
  cleanHtmlPart,
  findActiveContent,
  findRemoteImages,
  isMarkup,
  removeRemoteImages,
} from './html-part.ts';
export { safeHtml } from './html-safe.ts';
export { type PageText, readPage, readPageInTurns } from './html-text.ts';
export {
  explainPoison,
  type InspectPolicy,
  inspect,
  listParts,
  type Poison,
  type PoisonReason,
  plainName,
} from './inspect.ts';
export { defaultParseLimits, type ParseLimits, type ParseProblem } from './limits.ts';
export { linkedHosts } from './links.ts';
export {
  type MessageChanges,
  type MimeMessage,
  type ParseOptions,
  parseHeadersAndBody,
  parseMessage,
  parseMessageStream,
} from './message.ts';
export { extensionsOf } from './names.ts';
export type { Parameter } from './parameters.ts';
export type { Part } from './part.ts';
export { programFormat } from './programs.ts';
export { cleanSvg } from './svg.ts';
export { type Address, type MessageView, readView } from './view.ts';
export { decodeWords, encodeWords } from './words.ts';

checkNode();
