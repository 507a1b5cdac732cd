/** What modules are made with. */
export { networkOf, parseIp } from '../ip.ts';
export { askFarSmtp, askSmtp, type SmtpOutcome, type SmtpQuestion } from './backends/ask-smtp.ts';
export { type AskOptions, Backend, BackendError, type BackendOptions } from './backends/backend.ts';
export { type Dial, dialFirst } from './backends/dial.ts';
export { type SmtpAnswer, SmtpTrouble, TlsTrouble } from './backends/smtp-conversation.ts';
export { within } from './backends/within.ts';
export { base32 } from './base32.ts';
export { aLabels, isDomain } from './config/domains.ts';
export { BadValue, wrongWord } from './config/faults.ts';
export { reporting, textKind, textOrNone } from './config/kind.ts';
export type { Endpoint } from './config/kinds.ts';
export * as kinds from './config/kinds.ts';
export type { AddressList } from './config/lists/addresses.ts';
export type { Entries, ListFile } from './config/lists/files.ts';
export type { ListedClient, NetworkList } from './config/lists/networks.ts';
export type { SecretList } from './config/lists/secrets.ts';
export type { DomainList, ExtensionList, GlobList, WordList } from './config/lists/words.ts';
export { Template } from './config/template.ts';
export { z } from './config/zod.ts';
export type { Ruled } from './decision/decide.ts';
export type { SoFar } from './decision/so-far.ts';
export {
  type AuthFact,
  acquaintRole,
  aliasRole,
  authFact,
  authRole,
  type ClientFact,
  type ClientKind,
  calloutRole,
  clientFact,
  confirmationRole,
  type Direction,
  directionFact,
  exemptRole,
  forwardedFact,
  heldMailRole,
  type JudgedClient,
  knownRole,
  type Learner,
  learnersRole,
  meantRole,
  ourDomainRole,
  ownHeaderRole,
  ownMailRole,
  ownRecipientRole,
  type PtrFact,
  ptrFact,
  type Role,
  role,
  rulingRole,
  type SeenClient,
  type Signing,
  type SpfKnown,
  scoreRole,
  signingRole,
  spfFact,
  spfKnownFact,
  type Who,
  whoRole,
} from './facts.ts';
export type { Action, ActionWord } from './findings/action.ts';
export type { About, Finding, FindingReply, Ruling } from './findings/finding.ts';
export type { Change, Fate, Settling } from './findings/judgement.ts';
export { FolderSize } from './folder-size.ts';
export { isAligned } from './mail/aligned.ts';
export { isAnswerOrDelay } from './mail/answers.ts';
export { isAutomatic } from './mail/automatic.ts';
export { type ClientNames, namesOf, seenClient } from './mail/client.ts';
export { ClientJudge } from './mail/client-judge.ts';
export { comparableAddress } from './mail/comparable.ts';
export { asMboxEntry, fromLine, withLineFeeds } from './mail/local-form.ts';
export { type Mailbox, readMailboxes } from './mail/mailboxes.ts';
export { meantBy } from './mail/meant.ts';
export { headerSize, messageSize } from './mail/message-size.ts';
export { pairKey } from './mail/pair-key.ts';
export { findWord, readable } from './mail/readable.ts';
export { isPreamble, readReceived } from './mail/received.ts';
export { isSenderProved, isSenderSigned } from './mail/sender-proved.ts';
export {
  type AnyModule,
  type ChangeStep,
  defineModule,
  type FindingDeclaration,
  type JudgeStep,
  type Made,
  type ModuleDefinition,
  type Need,
  type OnErrorWord,
  type OptionsSchema,
  type When,
} from './module.ts';
export { OutgoingError } from './outgoing/mail.ts';
export type { OwnMail } from './outgoing/own-mail.ts';
export { RELEASED_HEADER } from './quarantine/mark.ts';
export type { HeldFrom } from './quarantine/release-from.ts';
export { type Chunks, type FileRights, makeFolder, syncFolder, writeSafely } from './safe-file.ts';
export type { Details, Services, SocketRights } from './services.ts';
export {
  type Admission,
  type Keep,
  type ScanOptions,
  type Store,
  type StoreCall,
  StoreError,
  type StoreResult,
  type StoreResults,
  type WindowLimit,
} from './store/store.ts';
export { isSame, storedProof } from './stored-key.ts';
export type { Labels, Metrics } from './watch/metrics.ts';
