/** How the pages look: calm, in light and dark, on wide and narrow screens. */

/** A shield with an envelope in it. */
export const ICON = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><path fill="#2f6f62" d="M16 1.5 28 6v10c0 7-5 12-12 14.5C9 28 4 23 4 16V6z"/><rect x="9" y="11" width="14" height="10" rx="1.5" fill="#fff"/><path d="m9.5 12 6.5 5 6.5-5" fill="none" stroke="#2f6f62" stroke-width="1.6" stroke-linejoin="round"/></svg>`;

/** The style sheet. */
export const STYLE = `
:root {
  color-scheme: light dark;
  --ground: #f5f6f4; --paper: #fff; --ink: #1d2623; --soft: #55615c; --line: #d9dedb; --line-strong: #7d8a84;
  --accent: #1f6255; --accent-ink: #fff; --accent-soft: #e3efeb; --bad: #a3271b; --bad-soft: #fbe9e6;
  --good: #1f6255; --shade: #eef1ef; --mark: #7a5a00; --mark-soft: #fbf1d6;
  --pass: #3b8f7c; --held: #c9982b; --refused: #b8493d; --deferred: #7a8ec4; --dropped: #8b8f8d;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #131816; --paper: #1b2220; --ink: #e6ebe8; --soft: #a3b0aa; --line: #313b37; --line-strong: #7a8983;
    --accent: #7fcab7; --accent-ink: #0e1a17; --accent-soft: #21352f; --bad: #ff9c8f; --bad-soft: #3b211d;
    --good: #7fcab7; --shade: #232c29; --mark: #efcd7c; --mark-soft: #362e18;
    --pass: #4fa491; --held: #c99a35; --refused: #d3695d; --deferred: #8699d0; --dropped: #808784;
  }
}
*, ::before, ::after { box-sizing: border-box; }
html { font: 100%/1.5 system-ui, "DejaVu Sans", sans-serif; background: var(--ground); color: var(--ink); -webkit-text-size-adjust: 100%; }
body { margin: 0; }
.wide { max-width: 76rem; margin: 0 auto; padding: 0 1.25rem; }
a { color: var(--accent); text-underline-offset: .15em; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; border-radius: 3px; }
main:focus, .notice:focus { outline: none; }
.skip { position: absolute; left: -99rem; padding: .5rem 1rem; background: var(--paper); z-index: 2; }
.skip:focus { left: .5rem; top: .5rem; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 1.75rem 0 1rem; font-weight: 650; overflow-wrap: anywhere; }
h2 { font-size: 1.06rem; margin: 0 0 .75rem; font-weight: 650; }
p { margin: 0 0 .75rem; }
small, .small { font-size: .86rem; color: var(--soft); }
.none { color: var(--soft); font-style: italic; }
bdi { overflow-wrap: anywhere; }

header.top { background: var(--paper); border-bottom: 1px solid var(--line); }
header.top > div { display: flex; flex-wrap: wrap; align-items: center; gap: .25rem 1.5rem; min-height: 3.75rem; }
.brand { display: flex; align-items: center; gap: .6rem; margin: .5rem 0; font-weight: 650; line-height: 1.2; }
.brand small { display: block; font-weight: 400; overflow-wrap: anywhere; }
nav ul { display: flex; flex-wrap: wrap; gap: .25rem; list-style: none; margin: 0; padding: 0; }
nav a { display: block; padding: .5rem .8rem; border-radius: 6px; color: var(--ink); text-decoration: none; }
nav a:hover { background: var(--shade); }
nav a[aria-current] { background: var(--accent-soft); color: var(--accent); font-weight: 600; }
.who { margin-left: auto; display: flex; align-items: center; gap: .75rem; color: var(--soft); font-size: .92rem; }
.who b { color: var(--ink); overflow-wrap: anywhere; }

button, .button, input, select { font: inherit; color: inherit; border-radius: 6px; }
button, .button { display: inline-block; border: 1px solid var(--line-strong); background: var(--paper); padding: .42rem .9rem; min-height: 2.5rem; cursor: pointer; text-decoration: none; color: var(--ink); }
button:hover, .button:hover { background: var(--shade); }
button.main { background: var(--accent); border-color: var(--accent); color: var(--accent-ink); font-weight: 600; }
button.main:hover { filter: brightness(1.08); }
button.danger { color: var(--bad); }
button.plain { border-color: transparent; background: none; color: var(--accent); text-decoration: underline; padding: .42rem .25rem; }
button:disabled { opacity: .6; cursor: default; }
input[type=text], input[type=search], input[type=password], select { border: 1px solid var(--line-strong); background: var(--paper); padding: .42rem .65rem; min-height: 2.5rem; width: 100%; }
input[type=checkbox] { width: 1.15rem; height: 1.15rem; accent-color: var(--accent); margin: 0; }
label { font-weight: 600; font-size: .92rem; }
.field { margin-bottom: 1rem; }
.field label { display: block; margin-bottom: .25rem; }

.card { background: var(--paper); border: 1px solid var(--line); border-radius: 10px; padding: 1.1rem 1.25rem; margin-bottom: 1.25rem; }
.sign-in { max-width: 24rem; margin: 3.5rem auto; }
.card > h1 { margin-top: 0; }
main > .card:first-of-type { margin-top: 1.75rem; }
h1 ~ .card:first-of-type, a ~ .card:first-of-type { margin-top: 0; }
.card > :last-child, .card > form:last-child > :last-child { margin-bottom: 0; }
.card > * + .small, .card > * + form, .card > * + .legend { margin-top: .75rem; }
.card > .unseen + * { margin-top: 0; }
.card > nav { margin-bottom: .75rem; }
.notices:empty { display: none; }
.notice { margin: 1.25rem 0 0; padding: .75rem 1rem; border-radius: 8px; background: var(--accent-soft); border-left: 4px solid var(--good); }
.notice.bad { background: var(--bad-soft); border-left-color: var(--bad); }
.actions { display: flex; flex-wrap: wrap; gap: .6rem; align-items: center; }
.actions .gap { flex: 1; }

.search { display: grid; grid-template-columns: 1fr 12rem auto; gap: .75rem; align-items: end; margin-bottom: 1rem; }
.search label { display: block; margin-bottom: .2rem; }
.bar { display: flex; flex-wrap: wrap; gap: .6rem 1rem; align-items: center; padding: .75rem 0; }
.bar .actions { flex: 1; }
.bar label { display: flex; gap: .5rem; align-items: center; font-weight: 400; min-height: 2.5rem; }
.bar .chosen { color: var(--soft); }
.more { display: flex; flex-wrap: wrap; gap: 1rem; align-items: center; justify-content: space-between; }

table { border-collapse: collapse; width: 100%; }
td svg { min-width: 4rem; }
.numbers :is(th, td) { vertical-align: middle; padding: .4rem .6rem; }
.values { table-layout: fixed; min-width: 30rem; }
.values :is(th, td) { padding: .3rem .6rem; }
.values :is(th, td):first-child { width: 30%; }
.values :is(th, td):last-child { width: 6rem; }
.values .given code { font-weight: 650; color: var(--ink); }
caption { text-align: left; font-weight: 650; padding-bottom: .5rem; }
th { text-align: left; font-weight: 600; font-size: .86rem; color: var(--soft); }
th, td { padding: .6rem .75rem; border-bottom: 1px solid var(--line); vertical-align: top; }
tbody tr:last-child > * { border-bottom: 0; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
td.number { white-space: nowrap; }
time, .fixed { font-variant-numeric: tabular-nums; white-space: nowrap; }
.mails { background: var(--paper); border: 1px solid var(--line); border-radius: 10px; border-collapse: separate; border-spacing: 0; table-layout: fixed; }
.mails tbody tr:hover { background: var(--shade); }
.mails tr:has(:checked) { background: var(--accent-soft); }
.mails .pick { width: 3rem; }
.mails .pick label { display: flex; align-items: center; justify-content: center; min-width: 1.75rem; min-height: 1.75rem; margin: -.15rem; cursor: pointer; }
.mails .when { width: 9.8rem; }
.mails .why { width: 17rem; }
.mails .whom { width: 13rem; }
.mails .subject { font-weight: 600; display: block; color: var(--ink); text-decoration: none; overflow-wrap: anywhere; }
.mails .subject:hover { text-decoration: underline; }
.mails .from { color: var(--soft); font-size: .92rem; overflow-wrap: anywhere; }
.tag { display: inline-block; padding: .05rem .5rem; border-radius: 99px; background: var(--mark-soft); color: var(--mark); font-size: .84rem; font-weight: 600; }
.tag.done { background: var(--shade); color: var(--soft); }
.empty { text-align: center; padding: 3rem 1rem; color: var(--soft); }

.facts { display: grid; grid-template-columns: max-content 1fr; gap: .35rem 1.25rem; margin: 0; }
.facts dt { color: var(--soft); font-size: .92rem; }
.facts dd { margin: 0; overflow-wrap: anywhere; min-width: 0; }
.facts + .why-list { margin-top: .75rem; }
.why-list { margin: 0; padding-left: 1.2rem; }
.why-list li { margin-bottom: .3rem; overflow-wrap: anywhere; }
pre { margin: 0; font: .92rem/1.5 ui-monospace, "DejaVu Sans Mono", monospace; white-space: pre-wrap; overflow-wrap: anywhere; }
pre.mail { font-family: inherit; font-size: 1rem; max-width: 46rem; }
.frame { width: 100%; height: 32rem; border: 1px solid var(--line); border-radius: 8px; background: #fff; display: block; }
.files { list-style: none; margin: 0; padding: 0; }
.files li { display: flex; flex-wrap: wrap; gap: .25rem .75rem; align-items: baseline; padding: .5rem 0; border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
.files li:last-child { border: 0; }
details > summary { cursor: pointer; padding: .35rem 0; color: var(--accent); }
.back { display: inline-block; margin-top: 1.25rem; }
.back + h1 { margin-top: .75rem; }

.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(11rem, 45%), 1fr)); gap: 1rem; margin-bottom: 1.25rem; }
.tile { background: var(--paper); border: 1px solid var(--line); border-radius: 10px; padding: .9rem 1.1rem; }
.tile dt { color: var(--soft); font-size: .88rem; }
.tile dd { margin: 0; font-size: 1.5rem; font-weight: 650; line-height: 1.3; overflow-wrap: anywhere; }
.tile dd time { font-size: 1.1rem; white-space: normal; }
.tile dd small { display: block; font-weight: 400; font-size: .86rem; }
.pair { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 0 1.25rem; align-items: start; }
.scroll { overflow-x: auto; }
svg.chart { display: block; width: 100%; height: auto; }
svg text { fill: var(--soft); font-size: 11px; font-family: inherit; }
svg .grid { stroke: var(--line); }
.bar-track { fill: var(--shade); }
.pass { fill: var(--pass); background: var(--pass); } .held { fill: var(--held); background: var(--held); }
.refused { fill: var(--refused); background: var(--refused); } .deferred { fill: var(--deferred); background: var(--deferred); }
.dropped { fill: var(--dropped); background: var(--dropped); } .plain-bar { fill: var(--pass); }
.legend { display: flex; flex-wrap: wrap; gap: .35rem 1.25rem; list-style: none; padding: 0; margin: .75rem 0 0; font-size: .9rem; }
.legend i { display: inline-block; width: .8rem; height: .8rem; border-radius: 3px; margin-right: .4rem; }
.bad-text { color: var(--bad); font-weight: 600; }
.good-text { color: var(--good); font-weight: 600; }
code { font: .9em ui-monospace, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }

@media (max-width: 47rem) {
  .wide { padding: 0 1rem; }
  .who { margin: 0; width: 100%; justify-content: space-between; }
  .search { grid-template-columns: 1fr; }
  .pair { grid-template-columns: minmax(0, 1fr); }
  .wide-chart svg { min-width: 34rem; direction: ltr; }
  .wide-chart { direction: rtl; }
  .tile { padding: .7rem .9rem; }
  .actions { display: grid; grid-template-columns: 1fr 1fr; }
  .actions .gap { display: none; }
  .actions > :is(span, .small):not(.unseen) { grid-column: 1 / -1; }
  .bar .actions { width: 100%; flex: none; }
  button { padding: .42rem .6rem; }
  .facts { grid-template-columns: 1fr; gap: 0; }
  .facts dd { margin-bottom: .6rem; }
  .mails, .mails tbody, .mails tr, .mails td { display: block; width: auto; }
  .mails thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  .mails tr { position: relative; padding: .7rem .9rem .7rem 3.1rem; border-bottom: 1px solid var(--line); }
  .mails tbody tr:last-child { border-bottom: 0; }
  .mails td { border: 0; padding: .1rem 0; }
  .mails .pick { position: absolute; left: .75rem; top: .65rem; width: auto; }
  .mails .when, .mails .why, .mails .whom { width: auto; }
}
@media (prefers-reduced-motion: no-preference) { button, nav a { transition: background .12s; } }
@media print { header.top, .actions, .bar, .search { display: none; } }
`;
