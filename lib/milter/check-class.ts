/**
 * Whether a Milter class can do what its author meant: a stage that is misspelt, or written as a field, would
 * otherwise be served and never called.
 */
import { MilterError } from '../errors.ts';
import { silentLogger } from '../logger.ts';
import { distance } from '../options.ts';
import { type Stage, stages } from '../protocol/stages.ts';
import { Macros } from './macros.ts';
import { classesOf, type Link, type Milter, type MilterClass, makeInstance, overrides } from './milter.ts';
import { nobody, Session } from './session.ts';
import { faultOf, isWish, mistakenFor, readWishes } from './wishes.ts';

/** What other milter libraries and SMTP call the stages. */
const otherNames: ReadonlyMap<string, Stage> = new Map([
  ['ehlo', 'helo'],
  ['hello', 'helo'],
  ['mail', 'envfrom'],
  ['mailfrom', 'envfrom'],
  ['rcpt', 'envrcpt'],
  ['rcptto', 'envrcpt'],
  ['headers', 'header'],
  ['endofheader', 'eoh'],
  ['endofheaders', 'eoh'],
  ['endofbody', 'eom'],
  ['endofmessage', 'eom'],
]);
/** Words that are one letter from a stage by chance, and good names for a helper. */
const helperNames: ReadonlySet<string> = new Set([
  ...['about', 'chose', 'clone', 'closed', 'closer', 'date', 'eof', 'held', 'help', 'hero'],
]);

/** The source of an assignment to a name, or of a field; not of a variable, a private field or a static. */
const ASSIGNMENT =
  /(?<![#\w$.]|\b(?:static|let|const|var)[ \t]+(?:\w+[ \t]+)*)(?:this\.)?\b([a-z]\w*)\s*=(?![=>])/gi;

const checked = new WeakSet<MilterClass>();
/** Classes of which an instance was looked at. */
const known = new WeakSet<MilterClass>();

/**
 * Looks at a class where it is first given. If its source assigns to what may be a stage or a wish, one instance is made,
 * in a session of nobody, to see whether that is a field.
 * @throws MilterError `ERR_MILTER_FILTER` when a static wish is wrong, a stage is a field, a method seems to be a misspelt
 *   stage, or there is no stage at all
 */
export function checkClass(filter: MilterClass): void {
  if (checked.has(filter)) return;
  readWishes(filter);
  if (classesOf(filter).some(assignsToSuspect)) {
    const instance = probe(filter);
    if (instance !== undefined) refuseFields(filter, instance);
  }
  for (const { prototype } of classesOf(filter)) {
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(prototype))) {
      if (typeof value === 'function') refuseMisspelt(filter, name);
    }
  }
  if (!stages.some((stage) => overrides(filter, stage))) {
    throw faultOf(filter)(
      `has no stage, so it would do nothing: write one of ${stages.join(', ')} as a method`,
    );
  }
  checked.add(filter);
}

function assignsToSuspect(owner: MilterClass): boolean {
  const source = Function.prototype.toString.call(owner);
  const names = new Set(Array.from(source.matchAll(ASSIGNMENT), ([, name = '']) => name));
  return [...names].some((name) => isStage(name) || isWish(name) || stageMeant(name) !== undefined);
}

/**
 * A stage that is a field hides from negotiation, and would silently never run; nor would a misspelt one, and a wish that
 * is not static is none.
 * @throws MilterError `ERR_MILTER_FILTER`
 */
export function refuseFields(filter: MilterClass, instance: Milter): void {
  const fault = faultOf(filter);
  const field = stages.find((stage) => Object.hasOwn(instance, stage));
  if (field !== undefined) {
    throw fault(`write ${field} as a method; as a field it cannot be seen at negotiation`);
  }
  if (known.has(filter)) return;
  for (const [name, value] of Object.entries(instance)) {
    if (isWish(name)) throw fault(`write "static ${name}"; as a field of each instance it is no wish`);
    if (typeof value === 'function') refuseMisspelt(filter, name);
  }
  known.add(filter);
}

/** An instance that serves nobody; undefined where the constructor needs more than that. */
function probe(filter: MilterClass): Milter | undefined {
  const session = new Session({
    id: 0,
    client: nobody,
    helo: '',
    negotiated: { actions: 0, steps: 0 },
    macros: new Macros([]),
    message: undefined,
    lookUp: () => undefined,
  });
  const link: Link = {
    session,
    message: () => {
      throw new MilterError('ERR_MILTER_NO_MESSAGE', 'no message is under way in this session');
    },
    log: silentLogger,
  };
  try {
    return makeInstance(link, () => new filter());
  } catch {
    return undefined; // Each instance is looked at when it is made, too.
  }
}

function refuseMisspelt(filter: MilterClass, name: string): void {
  const stage = stageMeant(name);
  if (stage === undefined || overrides(filter, stage)) return;
  throw faultOf(filter)(
    `the method ${name} is no stage; did you mean "${stage}"? (a helper would need a name of its own, or #${name})`,
  );
}

function isStage(name: string): boolean {
  return (stages as readonly string[]).includes(name);
}

/** The stage for which a method's name was probably meant; undefined for a stage, and for a name like none. */
function stageMeant(name: string): Stage | undefined {
  if (isStage(name) || helperNames.has(name) || /\d/.test(name)) return undefined;
  const bare = name
    .replace(/^(?:on|handle|xxfi)(?=[_A-Z])/, '')
    .replaceAll('_', '')
    .toLowerCase();
  const near = mistakenFor(bare, stages);
  // Words such as collect, content and helper are two letters from a stage.
  return otherNames.get(bare) ?? stages.find((stage) => distance(stage, bare, stage === near ? 1 : 0) <= 1);
}
