/** How the filter fares: what came and what became of it, what was found, how long it took, and what is out of order. */
import { BUCKETS, type Durations } from '../watch/metrics.ts';
import type { Trouble } from '../watch/troubles.ts';
import type { Answer } from './answer.ts';
import { type Layer, share, stackedBars, table } from './chart.ts';
import { bytes, type Content, count, type Html, html, moment, visible, visibleLine } from './html.ts';
import type { Sample, Samples } from './samples.ts';
import type { SignedVisit } from './site.ts';

const HOUR = 60 * 60_000;
const HOURS = 24;
/** Milliseconds in which the store is to answer. */
const PATIENCE = 2_000;
const MOST_FINDINGS = 15;

/** Fates, in the order in which they are stacked. */
const FATES: readonly (readonly [name: string, colour: string, verdicts: readonly string[]])[] = [
  ['Passed', 'pass', ['accept']],
  ['Held', 'held', ['quarantine', 'hold']],
  ['Deferred', 'deferred', ['tempfail']],
  ['Refused', 'refused', ['reject']],
  ['Dropped', 'dropped', ['discard']],
];

/** The page. */
export async function statusPage(
  { filter, now, show, audit }: SignedVisit,
  samples: Samples,
  troubles: readonly Trouble[],
): Promise<Answer> {
  const { metrics, config } = filter;
  const day = samples.day();
  const layers = layersOf(day, now);
  const labels = Array.from({ length: HOURS }, (_, i) => hourOf(now - (HOURS - 1 - i) * HOUR));
  const inAll = layers.map(({ values }) => values.reduce((sum, one) => sum + one, 0));
  const total = inAll.reduce((sum, one) => sum + one, 0);
  const thisHour = layers.reduce((sum, { values }) => sum + (values.at(-1) ?? 0), 0);
  const store = await storeState(filter);
  const part = (index: number): string =>
    total === 0 ? '–' : `${Math.round((100 * (inAll[index] ?? 0)) / total)} %`;
  audit('see the status');
  const content = html`<h1>Status</h1>
<dl class="tiles">
${tile('Messages, last 24 hours', count(total), `${count(thisHour)} in this hour`)}
${tile('Refused', part(3), `${count(inAll[3] ?? 0)}, and ${count(inAll[2] ?? 0)} deferred`)}
${heldTiles(filter)}
${tile('Store', store.isWell ? html`<span class="good-text">works</span>` : html`<span class="bad-text">away</span>`, store.note)}
${tile('Counted since', moment(samples.began), 'the filter started then, or its count did')}
</dl>
<section class="card"><h2>What became of messages, by the hour (UTC)</h2>
${stackedBars('Fates in the last 24 hours', labels, layers)}
<details><summary>As a table</summary><div class="scroll" tabindex="0" role="region" aria-label="Fates by the hour">
${table('Fates by the hour', ['Hour (UTC)', ...FATES.map(([name]) => name)], hourRows(labels, layers), 'None.')}
</div></details></section>
<div class="pair"><div>
<section class="card scroll" tabindex="0" aria-label="Findings">${findingsTable(day)}</section>
<section class="card scroll" tabindex="0" aria-label="Failures">${failuresTable(filter)}</section>
</div><div>
<section class="card scroll" tabindex="0" aria-label="Time">${durationsTable('Messages waited for modules', 'Module', 'module', metrics.durations('module_seconds'))}</section>
<section class="card scroll" tabindex="0" aria-label="Store">${durationsTable('Calls of the store', 'Call', 'call', metrics.durations('store_seconds'))}</section>
</div></div>
${backends(filter)}
<section class="card scroll" tabindex="0" aria-label="Warnings and errors">${troublesTable(troubles)}</section>
<p class="small">${config.file}; ${config.modules.length} modules. Programs read the same at <a href="/metrics">/metrics</a>.</p>`;
  return show({ title: 'Status', place: 'status', content });
}

function tile(name: string, value: Content, note: Content): Html {
  return html`<div class="tile"><dt>${name}</dt><dd>${value}<small>${note}</small></dd></div>`;
}

/** As it was counted when the quarantine was last tidied. */
function heldTiles({ config, metrics }: SignedVisit['filter']): Html {
  const gauge = (name: string): number | undefined => metrics.read(name).get('');
  const most = config.settings.quarantine.max_size;
  const [items, size] = [gauge('quarantine_items'), gauge('quarantine_bytes')];
  if (items === undefined || size === undefined) {
    return tile('Held', '–', `not counted yet, of ${bytes(most)}`);
  }
  const part = `${bytes(size)}, ${Math.round((100 * size) / most)} % of ${bytes(most)}`;
  const sent = gauge('daily_digest_timestamp_seconds');
  return html`${tile('Held', html`<a href="/quarantine">${count(items)}</a>`, part)}${
    sent !== undefined && tile('Last digest', moment(sent * 1_000), 'sent to the owners')
  }`;
}

async function storeState({ store, config }: SignedVisit['filter']): Promise<{
  readonly isWell: boolean;
  readonly note: string;
}> {
  const { kind } = config.settings.store.url;
  const began = performance.now();
  const late = Promise.withResolvers<'late'>();
  const timer = setTimeout(() => late.resolve('late'), PATIENCE);
  try {
    const asked = store.get('status').then(() => 'works' as const);
    const outcome = await Promise.race([asked, late.promise]);
    if (outcome === 'late') return { isWell: false, note: `${kind}: no answer within ${PATIENCE} ms` };
    return { isWell: true, note: `${kind}, answers in ${milliseconds((performance.now() - began) / 1_000)}` };
  } catch (error) {
    return { isWell: false, note: visibleLine(error instanceof Error ? error.message : String(error)) };
  } finally {
    clearTimeout(timer);
  }
}

function layersOf(day: readonly Sample[], now: number): readonly Layer[] {
  const last = Math.floor(now / HOUR);
  return FATES.map(([name, colour, verdicts]) => {
    const values = Array<number>(HOURS).fill(0);
    for (const [index, sample] of day.entries()) {
      const before = day[index - 1];
      const place = HOURS - 1 - (last - Math.floor(sample.at / HOUR));
      if (before === undefined || place < 0 || place >= HOURS) continue;
      for (const verdict of verdicts) {
        const key = `{verdict="${verdict}"}`;
        values[place] =
          (values[place] ?? 0) + (sample.verdicts.get(key) ?? 0) - (before.verdicts.get(key) ?? 0);
      }
    }
    return { name, colour, values };
  });
}

function hourOf(at: number): string {
  return `${new Date(at).toISOString().slice(11, 13)}:00`;
}

function hourRows(labels: readonly string[], layers: readonly Layer[]): readonly (readonly Content[])[] {
  return labels.map((label, i) => [label, ...layers.map(({ values }) => count(values[i] ?? 0))]).toReversed();
}

function findingsTable(day: readonly Sample[]): Html {
  const first = day[0]?.findings ?? new Map<string, number>();
  const last = day.at(-1)?.findings ?? first;
  const byName = new Map<string, { acted: number; observed: number }>();
  for (const [labels, value] of last) {
    const { finding = 'others', observed } = labelsOf(labels);
    const sums = byName.get(finding) ?? { acted: 0, observed: 0 };
    sums[observed === 'true' ? 'observed' : 'acted'] += value - (first.get(labels) ?? 0);
    byName.set(finding, sums);
  }
  const rows = [...byName]
    .map(([name, { acted, observed }]) => ({ name, acted, observed, sum: acted + observed }))
    .filter(({ sum }) => sum > 0)
    .sort((a, b) => b.sum - a.sum)
    .slice(0, MOST_FINDINGS);
  const most = Math.max(0, ...rows.map(({ sum }) => sum));
  return table(
    'Findings, last 24 hours',
    ['Finding', 'Share', 'In force', 'Only watched'],
    rows.map(({ name, acted, observed, sum }) => [
      visibleLine(name),
      share(sum, most),
      count(acted),
      count(observed),
    ]),
    'Nothing was found.',
  );
}

function durationsTable(
  caption: string,
  head: string,
  label: string,
  durations: ReadonlyMap<string, Durations>,
): Html {
  const rows = [...durations]
    .filter(([, one]) => one.count > 0)
    .sort(([, a], [, b]) => b.seconds - a.seconds)
    .slice(0, MOST_FINDINGS);
  return table(
    caption,
    [head, 'Times', 'On average', '95 in 100 within'],
    rows.map(([labels, one]) => [
      visibleLine(labelsOf(labels)[label] ?? 'others'),
      count(one.count),
      milliseconds(one.seconds / one.count),
      within(one, 0.95),
    ]),
    'Nothing was waited for.',
  );
}

/** The upper end of the bucket in which that part of all is reached. */
function within({ count: all, counts }: Durations, part: number): string {
  let sum = 0;
  for (const [index, one] of counts.entries()) {
    sum += one;
    if (sum < part * all) continue;
    const end = BUCKETS[index];
    return end === undefined ? `more than ${milliseconds(BUCKETS.at(-1) ?? 0)}` : milliseconds(end);
  }
  return '–';
}

/** Services that modules ask. */
function backends({ metrics }: SignedVisit['filter']): Html | false {
  const [down, waiting, failures] = ['backend_down', 'backend_waiting', 'backend_failures_total'].map(
    (name) => metrics.read(name),
  );
  const durations = metrics.durations('backend_seconds');
  const all = [...new Set([...durations.keys(), ...(down?.keys() ?? [])])];
  const rows = all.map((labels) => {
    const { module = '', backend = '' } = labelsOf(labels);
    const one = durations.get(labels);
    return [
      `${visibleLine(module)}: ${visibleLine(backend)}`,
      down?.get(labels) === 1
        ? html`<span class="bad-text">down</span>`
        : html`<span class="good-text">works</span>`,
      count(one?.count ?? 0),
      one === undefined ? '–' : milliseconds(one.seconds / one.count),
      count(waiting?.get(labels) ?? 0),
      count(failures?.get(labels) ?? 0),
    ];
  });
  const heads = ['Service', 'State', 'Asked', 'On average', 'Waiting', 'Failures'];
  return (
    rows.length > 0 &&
    html`<section class="card scroll" tabindex="0" aria-label="Services">${table('Services that modules ask', heads, rows, '')}</section>`
  );
}

function failuresTable({ metrics }: SignedVisit['filter']): Html {
  const rows = (
    [
      ['module_failures_total', 'module', 'Module'],
      ['dnsbl_failures_total', 'zone', 'List'],
      ['store_failures_total', 'call', 'Store, call'],
    ] as const
  ).flatMap(([name, label, shown]) =>
    [...metrics.read(name)].map(([labels, value]) => [
      `${shown} ${visibleLine(labelsOf(labels)[label] ?? 'others')}`,
      count(value),
    ]),
  );
  return table('Failures', ['What', 'Times'], rows, 'Nothing has failed.');
}

function troublesTable(troubles: readonly Trouble[]): Html {
  const rows = troubles.toReversed().map(
    ({ at, level, message, about }) => html`<tr><th scope="row">${moment(at)}</th>
<td>${level === 'error' ? html`<span class="bad-text">error</span>` : 'warning'}</td>
<td>${visible(message)}<br><code>${visible(about)}</code></td></tr>
`,
  );
  if (rows.length === 0) {
    return html`<h2>Warnings and errors of late</h2><p class="none">None since the filter started.</p>`;
  }
  return html`<table><caption>Warnings and errors of late</caption>
<thead><tr><th scope="col">When</th><th scope="col">Level</th><th scope="col">What</th></tr></thead>
<tbody>${rows}</tbody></table>`;
}

function milliseconds(seconds: number): string {
  if (seconds >= 10) return `${Math.round(seconds)} s`;
  if (seconds >= 1) return `${seconds.toFixed(1)} s`;
  const time = seconds * 1_000;
  if (time < 0.05) return 'under 0.1 ms';
  return time >= 10 ? `${Math.round(time)} ms` : `${time.toFixed(1)} ms`;
}

/** Labels from how they stand in the text format. */
function labelsOf(text: string): Readonly<Record<string, string>> {
  const found = text.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g);
  return Object.fromEntries(
    [...found].map(([, name = '', value = '']) => [name, value.replace(/\\(.)/g, '$1')]),
  );
}
