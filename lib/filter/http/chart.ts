/** Figures as SVG. What they show stands beside them as a table, for those who do not see them, and for those who count. */
import { type Content, count, type Html, html } from './html.ts';

/** A part of each bar. */
export interface Layer {
  readonly name: string;
  /** The class that colours it. */
  readonly colour: string;
  /** As many as there are bars. */
  readonly values: readonly number[];
}

const WIDTH = 720;
const HEIGHT = 190;
const LEFT = 44;
const BOTTOM = 24;
const TOP = 10;

/** Bars of several layers, such as one for each hour. */
export function stackedBars(title: string, labels: readonly string[], layers: readonly Layer[]): Html {
  const sums = labels.map((_, i) => layers.reduce((sum, { values }) => sum + (values[i] ?? 0), 0));
  const top = roundUp(Math.max(1, ...sums));
  const space = HEIGHT - BOTTOM - TOP;
  const y = (value: number): number => round(TOP + space - (value / top) * space);
  const step = (WIDTH - LEFT) / Math.max(1, labels.length);
  const bars = labels.map((label, i) => {
    let below = 0;
    const parts = layers.map(({ values, colour }) => {
      const value = values[i] ?? 0;
      if (value === 0) return '';
      const from = y(below);
      below += value;
      return html`<rect class="${colour}" x="${round(LEFT + i * step + step * 0.14)}" y="${y(below)}" width="${round(step * 0.72)}" height="${round(from - y(below))}"/>`;
    });
    return html`<g><title>${label}: ${count(sums[i] ?? 0)}</title>${parts}</g>`;
  });
  const every = Math.ceil(labels.length / 8);
  const total = sums.reduce((sum, one) => sum + one, 0);
  return html`<div class="scroll wide-chart" tabindex="0" role="region" aria-label="${title}"><svg class="chart" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${title}: ${count(total)} in all, at most ${count(Math.max(0, ...sums))}. The table below has the numbers.">
${[0, top / 2, top].map(
  (value) =>
    html`<line class="grid" x1="${LEFT}" x2="${WIDTH}" y1="${y(value)}" y2="${y(value)}"/><text x="${LEFT - 8}" y="${y(value) + 4}" text-anchor="end">${count(value)}</text>`,
)}
${bars}
${labels.map((label, i) =>
  i % every === 0
    ? html`<text x="${round(LEFT + (i + 0.5) * step)}" y="${HEIGHT - 6}" text-anchor="middle">${label}</text>`
    : '',
)}
</svg></div>
<ul class="legend">${layers.map(
    ({ name, colour, values }) =>
      html`<li><i class="${colour}"></i>${name} <b>${count(values.reduce((sum, one) => sum + one, 0))}</b></li>`,
  )}</ul>`;
}

/** One bar within a table's cell, which says the number too. */
export function share(value: number, most: number): Html {
  const width = most === 0 ? 0 : round((value / most) * 100);
  return html`<svg class="chart" viewBox="0 0 100 6" preserveAspectRatio="none" height="8" aria-hidden="true"><rect class="bar-track" width="100" height="6" rx="2"/><rect class="plain-bar" width="${width}" height="6" rx="2"/></svg>`;
}

/** A table of numbers, or a word where there are none. */
export function table(
  caption: Content,
  heads: readonly string[],
  rows: readonly (readonly Content[])[],
  nothing: string,
): Html {
  if (rows.length === 0) return html`<h2>${caption}</h2><p class="none">${nothing}</p>`;
  return html`<table class="numbers"><caption>${caption}</caption>
<thead><tr>${heads.map((head, i) => html`<th scope="col"${i > 0 && html` class="number"`}>${head}</th>`)}</tr></thead>
<tbody>${rows.map(
    ([first, ...others]) =>
      html`<tr><th scope="row">${first}</th>${others.map((cell) => html`<td class="number">${cell}</td>`)}</tr>
`,
  )}</tbody></table>`;
}

/** To a number that divides well. */
function roundUp(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  const factor = [1, 2, 4, 5, 10].find((one) => one * power >= value) ?? 10;
  return Math.max(2, factor * power);
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
