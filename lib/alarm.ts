/**
 * Alarms that hardly ever ring: the bounds of time of handlers, of which there are many thousand a second. One timer serves
 * all of them, so that setting and stopping an alarm is an entry in a set.
 */

/** An alarm that was set. */
export interface Alarm {
  /** By performance.now(). */
  readonly at: number;
  readonly ring: () => void;
  readonly holds: boolean;
}

const alarms = new Set<Alarm>();
/** How many of them hold the process. */
let holding = 0;
let timer: NodeJS.Timeout | undefined;
/** When the timer fires. */
let next = Number.POSITIVE_INFINITY;

/** The longest that Node's timers take, in milliseconds. */
const LONGEST = 0x7fff_ffff;

/** Has `ring` called after so many milliseconds, unless {@link stopAlarm} comes first. Till then it `holds` the process. */
export function setAlarm(milliseconds: number, ring: () => void, holds = true): Alarm {
  const alarm = { at: performance.now() + Math.min(Math.max(milliseconds, 0), LONGEST), ring, holds };
  alarms.add(alarm);
  if (holds) holding++;
  if (alarm.at < next) wind(alarm.at);
  else if (holds && holding === 1) timer?.ref();
  return alarm;
}

/** It will not ring. Returns whether it had not rung yet, nor been stopped. */
export function stopAlarm(alarm: Alarm): boolean {
  const wasSet = remove(alarm);
  // The timer is left as it is: the next alarm is likely to need it.
  if (wasSet) release();
  return wasSet;
}

function remove(alarm: Alarm): boolean {
  const wasSet = alarms.delete(alarm);
  if (wasSet && alarm.holds) holding--;
  return wasSet;
}

/** Does not hold the process where nothing is to ring that does. */
function release(): void {
  if (holding === 0) timer?.unref();
}

function wind(at: number): void {
  clearTimeout(timer);
  next = at;
  timer = setTimeout(ringAll, Math.max(Math.ceil(at - performance.now()), 1));
  release();
}

function ringAll(): void {
  timer = undefined;
  next = Number.POSITIVE_INFINITY;
  const now = performance.now();
  const due: Alarm[] = [];
  let earliest = Number.POSITIVE_INFINITY;
  for (const alarm of alarms) {
    if (alarm.at <= now) due.push(alarm);
    else earliest = Math.min(earliest, alarm.at);
  }
  if (earliest !== Number.POSITIVE_INFINITY) wind(earliest);
  for (const alarm of due.sort((a, b) => a.at - b.at)) {
    // One that rings may stop another.
    if (remove(alarm)) alarm.ring();
  }
  release();
}
