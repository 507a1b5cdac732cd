/** The configuration in force. Secrets are not in it. */
import { type ConfiguredValue, configuredValues } from '../config/values.ts';
import type { Answer } from './answer.ts';
import { html, plural, visible } from './html.ts';
import type { SignedVisit } from './site.ts';

/** All values, by their sections. */
export function configurationPage({ filter, show, request, audit }: SignedVisit): Answer {
  const { config } = filter;
  const onlySet = request.query.has('set');
  const values = configuredValues(config).filter(({ origin }) => !onlySet || origin !== 'default');
  const sections = new Map<string, ConfiguredValue[]>();
  for (const value of values) {
    const known = sections.get(value.section);
    if (known === undefined) sections.set(value.section, [value]);
    else known.push(value);
  }
  audit('see the configuration');
  const content = html`<h1>Configuration in force</h1>
<p>${config.file}, with ${plural(config.modules.length, 'module')}. ${
    onlySet
      ? html`Only what the file sets is shown. <a href="/configuration">Show the defaults too</a>`
      : html`What is not in the file has its default. <a href="/configuration?set">Show only what the file sets</a>`
  }</p>
${[...sections].map(
  ([
    section,
    list,
  ]) => html`<section class="card scroll" tabindex="0" aria-label="${section === '' ? 'Top level' : section}">
<table class="values"><caption>${section === '' ? 'Top level' : section}</caption>
<thead><tr><th scope="col">Key</th><th scope="col">Value</th><th scope="col">From</th></tr></thead>
<tbody>${list.map(
    ({
      key,
      value,
      origin,
    }) => html`<tr${origin !== 'default' && html` class="given"`}><th scope="row"><code>${key}</code></th>
<td><code>${value === undefined ? '–' : visible(masked(JSON.stringify(value)))}</code></td>
<td class="small fixed">${origin === 'default' ? 'default' : `line ${origin}`}</td></tr>
`,
  )}</tbody></table></section>
`,
)}`;
  return show({ title: 'Configuration', place: 'configuration', content });
}

/** Without the passwords that may stand in URLs, and in what looks like them. */
export function masked(text: string): string {
  return text
    .replace(/(\b[a-z][a-z\d+.-]*:\/\/)[^\s/?#"]*@/gi, '$1(secret)@')
    .replace(/([?&;](?:pass(?:word|wd)?|pwd|token|secret|key|auth)=)[^&;\s"#]+/gi, '$1(secret)');
}
