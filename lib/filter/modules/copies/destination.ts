/** Where a copy goes, as the configuration writes it: with `%{user}` and the like, filled with what a message says. */
import { isAbsolute, join, resolve, sep } from 'node:path';
import { aLabels, BadValue, isDomain, kinds, Template } from '../../kit.ts';
import { safeName } from './safe-name.ts';

/** Whose copy it is, and of what. */
export interface Person {
  /** Local part, as it was written. */
  readonly user: string;
  readonly domain: string;
}

/** What can stand in a destination. */
export type Values = Readonly<Record<(typeof VARIABLES)[number], string>>;

const VARIABLES = ['user', 'domain', 'direction', 'date', 'hostname'] as const;

/** An address with places for values. */
export class AddressTemplate {
  readonly #local: Template;
  readonly #domain: Template;

  /** @throws BadValue where it cannot become an address */
  constructor(source: string) {
    const at = source.lastIndexOf('@');
    this.#local = checked(source.slice(0, at));
    this.#domain = checked(source.slice(at + 1));
    const sample = this.#domain.fill(() => 'example.com');
    if (at < 1 || !isDomain(aLabels(sample)) || /[\s<>\p{Cc}]/u.test(source)) {
      throw new BadValue('must be an address such as "copy-%{user}@archive.example.com"');
    }
  }

  /**
   * The address, its local part in quotes where it needs them.
   * @throws Error where these values make none
   */
  fill(values: Values): string {
    const local = this.#local.fill((name) => values[name as keyof Values]);
    const domain = this.#domain.fill((name) => values[name as keyof Values]);
    if (local === '' || /[\p{Cc}]/u.test(local) || !isDomain(aLabels(domain))) {
      throw new Error(
        `there is no address for copies of ${JSON.stringify(`${values.user}@${values.domain}`)}`,
      );
    }
    return `"${local.replace(/["\\]/g, '\\$&')}"@${domain}`;
  }
}

/** A path with places for values. */
export class PathTemplate {
  readonly #components: readonly Template[];
  readonly #absolute: boolean;

  /** @throws BadValue for what is no path */
  constructor(source: string) {
    if (source === '' || source.includes('\0') || source.endsWith('/..') || source === '..') {
      throw new BadValue('must be a path such as "archive/%{domain}/%{user}"');
    }
    this.#absolute = isAbsolute(source);
    this.#components = source
      .split('/')
      .filter((component) => component !== '')
      .map(checked);
  }

  /** The folder in which the first thing is made that a message has a part in; relative where the path is. */
  get base(): string {
    const fixed = this.#components.findIndex(({ variables }) => variables.length > 0);
    const above = this.#components.slice(0, fixed < 0 ? -1 : fixed).map((component) => component.source);
    return join(this.#absolute ? sep : '', ...above);
  }

  /**
   * The path, and the folder above everything that values decide. Each value stays within its component.
   * @param data what a relative path begins at
   */
  fill(values: Values, data: string): { readonly path: string; readonly base: string } {
    const filled = this.#components.map((component) =>
      component.fill((name) => safeName(values[name as keyof Values] ?? '')),
    );
    const fixed = this.#components.findIndex(({ variables }) => variables.length > 0);
    const start = this.#absolute ? sep : data;
    const above = filled.slice(0, fixed < 0 ? -1 : fixed);
    return { path: resolve(start, join(...filled)), base: resolve(start, ...above) };
  }
}

/** An address with `%{user}` and the like, for schemas. */
export const addressTemplate = kinds
  .template(undefined, [])
  .transform(
    (template, context): AddressTemplate => read(() => new AddressTemplate(template.source), context),
  );

/** A path with `%{user}` and the like, for schemas. */
export const pathTemplate = kinds
  .template(undefined, [])
  .transform((template, context): PathTemplate => read(() => new PathTemplate(template.source), context));

function read<T>(make: () => T, context: { readonly issues: unknown[]; readonly value?: unknown }): T {
  try {
    return make();
  } catch (error) {
    if (!(error instanceof BadValue)) throw error;
    context.issues.push({ code: 'custom', message: error.message, input: context.value });
    return undefined as never;
  }
}

function checked(source: string): Template {
  const template = new Template(source);
  const other = template.variables.find((name) => !VARIABLES.some((known) => known === name));
  if (other === undefined) return template;
  throw new BadValue(
    `has "%{${other}}", which is not known of a copy; there are ${VARIABLES.map((name) => `%{${name}}`).join(' ')}`,
  );
}
