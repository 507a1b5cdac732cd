/** `libmilter/filter`: the mail filter that is assembled from modules in a configuration file, and what modules are made with. */

export { checkConfig, type Problem } from './check.ts';
export type { Config, ConfiguredModule, Match } from './config/config.ts';
export { type ConfigFault, FilterConfigError, faultLine } from './config/faults.ts';
export { type JsonSchema, ownJsonSchema } from './config/json-schema.ts';
export { ListFiles, type ListWatcher } from './config/lists/files.ts';
export { loadConfig, parseConfig, type ReadConfigOptions } from './config/load.ts';
export { type ConfiguredValue, configuredValues } from './config/values.ts';
export { type Phrases, phrasesOf } from './findings/phrases.ts';
export {
  type Account,
  accountAddresses,
  accountName,
  readAccounts,
  writeAccounts,
} from './http/accounts.ts';
export { hashPassword, MAX_PASSWORD, MIN_PASSWORD } from './http/passwords.ts';
export {
  type HttpServer,
  type HttpSettings,
  type HttpSource,
  type HttpTimes,
  startHttp,
} from './http/server.ts';
export type { ShownFilter, SiteSource } from './http/site.ts';
export { stageDeadlines } from './judging/opener.ts';
export * from './kit.ts';
export { StoredAccess } from './modules/access/stored.ts';
export { type Learned, openTeacher, type Teacher } from './modules/bayes/teacher.ts';
export { isSesUsed, sesOptions } from './modules/bounces/ses-uses.ts';
export { batvOptions } from './modules/bounces/tags.ts';
export { type Alias, AliasError, Aliases } from './modules/forwarders/aliases.ts';
export { aliasPartsOf, forwardersIn } from './modules/forwarders/options.ts';
export { whyUnfit } from './modules/forwarders/unfit.ts';
export { ownModules } from './modules/index.ts';
export { signingIn } from './modules/srs/of-config.ts';
export {
  type ModulePlace,
  makeResolver,
  type OpenConfigOptions,
  type OpenedFilter,
  type OpenOptions,
  openConfig,
  openFilter,
} from './open.ts';
export type { Handing, OutgoingMail } from './outgoing/mail.ts';
export { canSend, send } from './outgoing/outgoing.ts';
export type { AllowedSender, AllowedSenders, Identity } from './quarantine/allowed.ts';
export type { HeldMail } from './quarantine/held-mail.ts';
export { type OpenQuarantine, openQuarantine, type QuarantineParts } from './quarantine/open.ts';
export type {
  HeldFinding,
  HeldItem,
  HeldPage,
  HeldQuery,
  HeldState,
  Quarantine,
  QuarantineReport,
  Sending,
} from './quarantine/quarantine.ts';
export type { Deliver, Released, Releases } from './quarantine/releases.ts';
export {
  LINK_ACTIONS,
  type LinkAction,
  type ReleaseOptions,
  type Review,
  ReviewError,
  type Reviewer,
  type Trained,
} from './quarantine/review.ts';
export { type ReadConfig, ReloadableFilter, type ReloadOptions } from './reload.ts';
export { openStore } from './store/open.ts';
export { FilterTeam, TeamMember } from './team.ts';
export { History, type HistoryFinding, type HistoryQuery, type HistoryRecord } from './watch/history.ts';
export { makeLogger } from './watch/log.ts';
export { MetricsRegistry } from './watch/metrics.ts';
export type { Trouble } from './watch/troubles.ts';
