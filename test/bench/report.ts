/** From what the load generator measured to the table and the goals. */
import type { Competitor } from './competitors.ts';

/** One run of the load generator. */
export interface LoadResult {
  readonly connections: number;
  /** The protocol steps the filter negotiated (SMFIP_*). */
  readonly steps: number;
  /** Messages finished while measuring; `total` counts warm-up and aftermath too. */
  readonly messages: number;
  readonly total: number;
  readonly seconds: number;
  /** Messages per second. */
  readonly rate: number;
  /** Microseconds from a message's first byte to the verdict of eom. */
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
  /** Connections that got less than a tenth of the average connection's messages. */
  readonly starved: number;
  /** Seconds of CPU time the generator used while measuring. */
  readonly cpu: number;
  /** Seconds of CPU time the filter used for `total` messages. */
  readonly filterCpu: number;
}

/** The medians of a competitor's rounds at one number of connections. */
export interface Row {
  readonly competitor: Competitor;
  readonly connections: number;
  readonly steps: number;
  readonly rate: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
  readonly starved: number;
  /** Microseconds of CPU time the filter used per message. */
  readonly cpuPerMessage: number;
  /** Share of one core that the generator used; near 1 it would be what is measured. */
  readonly generator: number;
}

/** A goal and what was reached. */
export interface Outcome {
  readonly id: string;
  readonly connections: number;
  readonly against: string;
  readonly goal: number;
  readonly ratio: number;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
  const lower = sorted[Math.ceil(sorted.length / 2) - 1] ?? Number.NaN;
  return (lower + upper) / 2;
}

export function summarize(competitor: Competitor, rounds: readonly LoadResult[]): Row {
  const of = (pick: (round: LoadResult) => number) => median(rounds.map(pick));
  return {
    competitor,
    connections: rounds[0]?.connections ?? 0,
    steps: rounds[0]?.steps ?? 0,
    rate: of((r) => r.rate),
    p50: of((r) => r.p50),
    p99: of((r) => r.p99),
    max: of((r) => r.max),
    starved: of((r) => r.starved),
    cpuPerMessage: of((r) => (r.filterCpu / r.total) * 1e6),
    generator: of((r) => r.cpu / r.seconds),
  };
}

/** Messages per second against pymilter with every stage; undefined when that was not measured. */
export function againstPymilter(row: Row, rows: readonly Row[]): number | undefined {
  return ratio(
    row,
    rows.find((r) => r.competitor.id === 'pymilter'),
  );
}

/** Messages per second against the C no-op with the same steps; undefined when that was not measured. */
export function againstC(row: Row, rows: readonly Row[]): number | undefined {
  return ratio(
    row,
    rows.find((r) => r.competitor.id === `c-0x${row.steps.toString(16)}`),
  );
}

function ratio(row: Row, other: Row | undefined): number | undefined {
  return other && row.rate / other.rate;
}

/** The goals that are set for these rows, which are all of one number of connections. */
export function outcomes(rows: readonly Row[]): Outcome[] {
  return rows.flatMap((row) => {
    const { id, goal } = row.competitor;
    if (!goal?.connections.includes(row.connections)) return [];
    return [
      { against: 'pymilter, every stage', goal: goal.pymilter, ratio: againstPymilter(row, rows) },
      { against: 'C no-op, same steps', goal: goal.c, ratio: againstC(row, rows) },
    ].flatMap(({ against, goal, ratio }) =>
      goal === undefined || ratio === undefined
        ? []
        : [{ id, connections: row.connections, against, goal, ratio }],
    );
  });
}

export function isMet({ goal, ratio }: Outcome): boolean {
  return ratio >= goal;
}

/** The table for a terminal: names to the left, figures to the right. */
export function table(rows: readonly Row[]): string {
  const ms = (us: number) => (us / 1000).toFixed(2);
  const times = (ratio: number | undefined) => (ratio === undefined ? '' : `${ratio.toFixed(2)}x`);
  const cells = rows.map((row) => [
    row.competitor.name,
    `0x${row.steps.toString(16)}`,
    row.rate.toFixed(0),
    ms(row.p50),
    ms(row.p99),
    ms(row.max),
    row.starved.toFixed(0),
    row.cpuPerMessage.toFixed(0),
    `${(row.generator * 100).toFixed(0)}%`,
    times(againstPymilter(row, rows)),
    row.competitor.ours ? times(againstC(row, rows)) : '',
  ]);
  const head = ['filter', 'steps', 'msg/s', 'p50 ms', 'p99 ms', 'max ms', 'starved', 'CPU µs', 'load CPU'];
  return align([[...head, '/pymilter', '/same C'], ...cells]);
}

export function goals(found: readonly Outcome[]): string {
  return align(
    found.map((outcome) => [
      `${outcome.id}, ${outcome.connections} connections, against ${outcome.against}`,
      `${outcome.ratio.toFixed(2)}x`,
      `goal ${outcome.goal.toFixed(1)}x`,
      isMet(outcome) ? 'met' : 'MISSED',
    ]),
  );
}

function align(lines: readonly (readonly string[])[]): string {
  const widths = (lines[0] ?? []).map((_, column) => Math.max(...lines.map((l) => l[column]?.length ?? 0)));
  const pad = (cell: string, column: number) =>
    column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0);
  return lines.map((line) => line.map(pad).join('  ').trimEnd()).join('\n');
}
