/**
 * A configuration in force, as the members of the filter (opener, guards, decider, changers) see it.
 */
import type { Resolver } from '../../dns/index.ts';
import type { Logger, Milter } from '../../index.ts';
import type { Config, ConfiguredModule } from '../config/config.ts';
import type { Ruled } from '../decision/decide.ts';
import { clientFact, directionFact } from '../facts.ts';
import { type Finding, holds } from '../findings/finding.ts';
import { type Judgement, judgementFact } from '../findings/judgement.ts';
import type { Roles } from '../roles.ts';
import type { Shared } from '../services.ts';
import type { History, HistoryFinding } from '../watch/history.ts';

/** A configuration in force. */
export class Running {
  readonly settings: Config['settings'];
  /** Without those that are off. */
  readonly modules: readonly ConfiguredModule[];
  readonly log: Logger;
  readonly #shared: Shared;
  readonly #history: History;

  constructor({ settings }: Config, modules: readonly ConfiguredModule[], shared: Shared, history: History) {
    this.settings = settings;
    this.modules = modules;
    this.log = shared.log;
    this.#shared = shared;
    this.#history = history;
  }

  get resolver(): Resolver {
    return this.#shared.resolver;
  }

  now(): number {
    return this.#shared.now();
  }

  /** Who does what for the others. */
  get roles(): Roles {
    return this.#shared.roles;
  }

  count(name: string, labels?: Readonly<Record<string, string>>): void {
    this.#shared.metrics.count(name, labels);
  }

  /** How long a module had a message wait. */
  observe(name: string, seconds: number, labels?: Readonly<Record<string, string>>): void {
    this.#shared.metrics.observe(name, seconds, labels);
  }

  /** Records a finding of the filter's own, such as a module's failure. */
  report(milter: Milter, finding: Finding): void {
    judgementFact.get(milter)?.findings.push(finding);
    this.count('findings_total', { finding: finding.name, observed: String(finding.observed) });
  }

  /** Writes into the history what is known of a message so far. */
  remember(milter: Milter, judgement: Judgement, verdict: string, reply?: string): void {
    const { session, message } = milter;
    const { findings, ruled } = judgement;
    const rulings = new Map(ruled.map(({ finding, action, by }) => [finding, { action, by }]));
    this.#history.write({
      ref: judgement.ref,
      at: judgement.began,
      queueId: message.queueId,
      client: {
        address: session.client.address,
        hostname: session.client.hostname,
        kind: clientFact.get(milter).kind,
      },
      helo: session.helo,
      sender: message.sender,
      direction: judgement.phase === 'envelope' ? undefined : directionFact.get(milter),
      recipients: judgement.outcomes,
      subject: this.settings.log.subjects ? message.headers.get('Subject')?.value : undefined,
      findings: findings.filter(holds).map((finding) => ({
        name: finding.name,
        action: shownAction(finding.action),
        subject: finding.subject,
        observed: finding.observed,
        recipient: finding.recipient,
        note: finding.note,
        ...instead(finding, rulings.get(finding)),
      })),
      points: judgement.points,
      verdict,
      reply,
      changedBy: [...judgement.changes.keys()],
    });
  }
}

/** What was done in place of what the configuration says, and why. */
function instead(
  { action }: Finding,
  ruled: Pick<Ruled, 'action' | 'by'> | undefined,
): Pick<HistoryFinding, 'done' | 'by'> {
  if (ruled === undefined) return {};
  const done = shownAction(ruled.action);
  return { by: ruled.by, ...(done !== shownAction(action) && { done }) };
}

/** As it stands in the configuration. */
export function shownAction(action: Finding['action']): string {
  return 'points' in action ? `score ${action.points}` : action.word;
}
