/** What `milter replay` has found, counted. */
import { type CorpusItem, itemName } from './corpus.ts';
import { printable } from './printable.ts';
import type { Fate } from './replay-worker.ts';

/** How often something was found. */
interface FindingCount {
  readonly name: string;
  readonly action: string;
  readonly observed: boolean;
  messages: number;
}

/** A message that would fare differently. */
export interface FateDifference {
  readonly message: string;
  readonly old: string;
  readonly new: string;
}

/** So many messages that fare differently are named; of others the number is told. */
const MAX_NAMED = 10_000;

/** Gathers what became of the messages. */
export class ReplayReport {
  messages = 0;
  readonly unreadable: string[] = [];
  readonly differences: FateDifference[] = [];
  different = 0;
  readonly #verdicts = new Map<string, number>();
  readonly #findings = new Map<string, FindingCount>();
  readonly #began = performance.now();

  add(item: CorpusItem, fate: Fate, other: Fate | undefined): void {
    this.messages++;
    this.#verdicts.set(fate.verdict, (this.#verdicts.get(fate.verdict) ?? 0) + 1);
    const found = new Map(fate.findings.map((finding) => [keyOf(finding), finding]));
    for (const [key, { name, action, done, observed }] of found) {
      const count = this.#findings.get(key) ?? { name, action: done ?? action, observed, messages: 0 };
      count.messages++;
      this.#findings.set(key, count);
    }
    if (other === undefined) return;
    const [before, after] = [describeFate(fate), describeFate(other)];
    if (before === after) return;
    this.different++;
    if (this.differences.length < MAX_NAMED) {
      this.differences.push({ message: itemName(item), old: before, new: after });
    }
  }

  addUnreadable(item: CorpusItem, why: string): void {
    if (this.unreadable.length < MAX_NAMED) this.unreadable.push(`${itemName(item)}: ${why}`);
  }

  get seconds(): number {
    return (performance.now() - this.#began) / 1_000;
  }

  /** For `--json`. */
  toJSON(): Readonly<Record<string, unknown>> {
    const { messages, unreadable, seconds, different, differences } = this;
    const verdicts = Object.fromEntries(this.#verdicts);
    return { messages, unreadable, seconds, verdicts, findings: this.#ranked(), different, differences };
  }

  /** For a person. `other` names the second configuration, if there is one. */
  toText(other: string | undefined): string {
    const { messages, seconds } = this;
    const verdicts = [...this.#verdicts].sort(([, a], [, b]) => b - a);
    const findings = this.#ranked().map(
      ({ name, action, observed, messages: count }) =>
        [`${name} → ${observed ? `observed only; otherwise ${action}` : action}`, count] as const,
    );
    const width = Math.max(...[...verdicts, ...findings].map(([name]) => name.length), 0);
    const row = ([name, count]: readonly [string, number]): string => {
      const percent = ((100 * count) / messages).toFixed(1);
      return `  ${printable(name).padEnd(width)} ${String(count).padStart(8)} ${`${percent} %`.padStart(8)}`;
    };
    const lines = [
      `${messages} message${messages === 1 ? '' : 's'} in ${seconds.toFixed(1)} s, ${(messages / seconds).toFixed(0)} a second`,
      '',
      'Verdicts',
      ...verdicts.map(row),
      '',
      'Findings, and what follows from them',
      ...findings.map(row),
    ];
    if (other !== undefined) {
      lines.push('', `With ${printable(other)}, ${this.different} of them would fare differently:`);
      for (const { message, old, new: next } of this.differences) {
        lines.push(`  ${printable(message)}: ${printable(old)} → ${printable(next)}`);
      }
    }
    for (const line of this.unreadable) lines.push(`not played: ${printable(line)}`);
    return `${lines.join('\n')}\n`;
  }

  #ranked(): readonly FindingCount[] {
    return [...this.#findings.values()].sort((a, b) => b.messages - a.messages || (a.name < b.name ? -1 : 1));
  }
}

/** A finding with another action, as of one recipient among many, counts apart. */
function keyOf({ name, action, done, observed }: Fate['findings'][number]): string {
  return `${name} ${done ?? action} ${observed}`;
}

/** What a sender, a recipient or the message itself would notice. */
function describeFate({ verdict, recipients, changedBy }: Fate): string {
  const verdicts = new Set(recipients.map((recipient) => recipient.verdict));
  const parts = recipients.map(({ address, verdict: own, finding }) => {
    const because = finding === undefined ? '' : ` because of ${finding}`;
    return `${verdicts.size > 1 ? `${address} ` : ''}${own}${because}`;
  });
  const fate = parts.length === 0 ? verdict : [...new Set(parts)].join(', ');
  const held = verdict === 'hold' ? ', held' : '';
  return `${fate}${held}${changedBy.length === 0 ? '' : `, changed by ${changedBy.join(' and ')}`}`;
}
