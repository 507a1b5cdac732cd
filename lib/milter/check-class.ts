/**
 * Whether a Milter class can do what its author meant: a stage that is misspelt, or written as a field, would
 * otherwise be served and never called.
 */
import { MilterError } from '../errors.ts';
import { silentLogger } from '../logger.ts';
import { type Stage, stages } from '../protocol/stages.ts';
import { Macros } from './macros.ts';
import { classesOf, type Link, type Milter, type MilterClass, makeInstance, overrides } from './milter.ts';
import { nobody, Session } from './session.ts';
import { faultOf, mistakenFor, readWishes } from './wishes.ts';

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
/** Words that are near a stage by chance, and good names for a helper. */
const helperNames: ReadonlySet<string> = new Set(['clone', 'date', 'help']);

/** The source of an assignment to a name of a stage, or of a field so called; not of a variable or a static. */
const assignsStage = new RegExp(
  `(?<![#\\w$.]|\\b(?:static|let|const|var)[ \\t]+(?:\\w+[ \\t]+)*)(?:this\\.)?(?:${stages.join('|')})\\s*=(?![=>])`,
);

const checked = new WeakSet<MilterClass>();

/**
 * Looks at a class where it is first given. If its source assigns to the name of a stage, one instance is made, in a
 * session of nobody, to see whether that is a field.
 * @throws MilterError `ERR_MILTER_FILTER` when a static wish is wrong, a stage is a field, a method seems to be a misspelt
 *   stage, or there is no stage at all
 */
export function checkClass(filter: MilterClass): void {
  if (checked.has(filter)) return;
  readWishes(filter);
  if (classesOf(filter).some((owner) => assignsStage.test(Function.prototype.toString.call(owner)))) {
    const instance = probe(filter);
    if (instance !== undefined) refuseFields(filter, instance);
  }
  refuseMisspelt(filter);
  if (!stages.some((stage) => overrides(filter, stage))) {
    throw faultOf(filter)(
      `has no stage, so it would do nothing: write one of ${stages.join(', ')} as a method`,
    );
  }
  checked.add(filter);
}

/**
 * A field hides from negotiation, and would silently never run.
 * @throws MilterError `ERR_MILTER_FILTER`
 */
export function refuseFields(filter: MilterClass, instance: Milter): void {
  const field = stages.find((stage) => Object.hasOwn(instance, stage));
  if (field === undefined) return;
  throw faultOf(filter)(`write ${field} as a method; as a field it cannot be seen at negotiation`);
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

function refuseMisspelt(filter: MilterClass): void {
  for (const { prototype } of classesOf(filter)) {
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(prototype))) {
      if (typeof value !== 'function' || helperNames.has(name)) continue;
      const stage = stageMeant(name);
      if (stage === undefined || overrides(filter, stage)) continue;
      throw faultOf(filter)(
        `the method ${name} is no stage; did you mean "${stage}"? (a helper would need a name of its own, or #${name})`,
      );
    }
  }
}

/** The stage for which a method's name was probably meant; undefined for a stage, and for a name like none. */
function stageMeant(name: string): Stage | undefined {
  if ((stages as readonly string[]).includes(name)) return undefined;
  const bare = name
    .replace(/^(?:on|handle|xxfi)(?=[_A-Z])/, '')
    .replaceAll('_', '')
    .toLowerCase();
  return (
    otherNames.get(bare) ?? stages.find((stage) => stage === bare || stage === mistakenFor(bare, stages))
  );
}
