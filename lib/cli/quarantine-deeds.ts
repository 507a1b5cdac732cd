/** What `milter quarantine` does: its subcommands. Each resolves to the exit status. */
import { MilterError } from '../errors.ts';
import {
  asMboxEntry,
  comparableAddress,
  fromLine,
  type HeldItem,
  ReviewError,
  type Trained,
} from '../filter/index.ts';
import { optionFault } from '../options.ts';
import { printable, toJson } from './printable.ts';
import { formatItem, formatLine, formatReport } from './quarantine-text.ts';
import { chosen, fault, find, select, type Work } from './quarantine-work.ts';
import { wholeNumber } from './usage.ts';
import { openSink } from './write-out.ts';

/** The newest first, a line each. */
export async function list({ review, who, values, io }: Work): Promise<number> {
  const limit = wholeNumber('limit', values.limit) ?? 50;
  const which = values.all === true ? 'all' : 'open';
  const { items, isMore } = await select({ review, who, values }, which, limit);
  if (values.json === true) {
    io.stdout.write(toJson(items));
    return 0;
  }
  for (const item of items) io.stdout.write(`${formatLine(item)}\n`);
  if (items.length === 0) io.stdout.write('Nothing is held.\n');
  else if (isMore) io.stdout.write('… and older ones (--limit)\n');
  return 0;
}

/** What is known of one, and the message. */
export async function show({ review, held, who, args, values, io }: Work): Promise<number> {
  const item = await find(held, args[0] ?? '');
  const isThere = item.state !== 'released' && item.state !== 'deleted' && item.state !== 'lost';
  if (values.raw === true) {
    if (!isThere) throw fault(`${item.id} is ${item.state}, and its message is gone`);
    io.stdout.write(await review.read(who, item.id));
    return 0;
  }
  const message = isThere ? await review.read(who, item.id) : undefined;
  if (values.json === true) {
    io.stdout.write(toJson({ ...item, message: message?.toString('latin1') }));
    return 0;
  }
  io.stdout.write(`${formatItem(item)}\n`);
  // One line of the message is one of the output; what could steer a terminal is shown as it is.
  for (const line of message?.toString('utf8').split(/\r?\n/) ?? []) io.stdout.write(`${printable(line)}\n`);
  return 0;
}

/** Sends them to their owners, or writes one into a file. */
export async function release(work: Work): Promise<number> {
  const { review, who, values, io } = work;
  const items = await chosen(work);
  const { to, again = false } = values;
  if (to !== undefined && items.length > 1) throw optionFault('--to takes one message');
  return await each(work, items, async (item) => {
    await trainBefore(work, item);
    if (to !== undefined) {
      const { outcome, ...rest } = await review.release(who, item.id, {
        again,
        deliver: async (_, handing) => {
          await using sink = await openSink(to, io);
          await handing();
          // A file is for a person, or for a mail server that does not pass the filter.
          await sink.write(await work.held.read(item));
          await sink.finish();
        },
      });
      if (outcome === 'failed') throw fault(rest.item.fault ?? 'it could not be written');
      return to === '-' ? undefined : `released ${item.id} to ${printable(to)}`;
    }
    const released = await review.release(who, item.id, { again });
    switch (released.outcome) {
      case 'released':
        return `released ${item.id} to ${printable(item.owner)}`;
      case 'waiting':
        return `releasing ${item.id} to ${printable(item.owner)}: ${printable(released.fault ?? `another process sends it, on ${item.host}`)}; the filter that runs asks again`;
      case 'failed':
        throw fault(
          `${item.id} ${released.item.doubtful === true ? 'may have been delivered, or not' : 'could not be released'}: ${released.fault}`,
        );
    }
  });
}

/** Lets go of them. */
export async function deleteItems(work: Work): Promise<number> {
  return await each(work, await chosen(work), async (item) => {
    await trainBefore(work, item);
    await work.review.delete(work.who, item.id);
    return `deleted ${item.id} of ${printable(item.owner)}`;
  });
}

/** Has the modules that learn know what they are. */
export async function train(work: Work): Promise<number> {
  const [as = ''] = work.args;
  return await each(work, await chosen({ ...work, args: work.args.slice(1) }), async (item) => {
    const trained = await work.review.train(work.who, item.id, as === 'spam' ? 'spam' : 'ham');
    return trainedLine(item, as, trained);
  });
}

/** Writes an mbox of them. */
export async function exportItems(work: Work): Promise<number> {
  const { review, who, values, io } = work;
  const items = await chosen(work, values.all === true ? 'all' : 'open');
  await using sink = await openSink(values.to ?? '-', io);
  let status = 0;
  let written = 0;
  // As they came, the oldest first.
  for (const item of items.toReversed()) {
    try {
      const message = await review.read(who, item.id);
      for (const piece of asMboxEntry([message], fromLine(item.sender, item.at))) await sink.write(piece);
      written++;
    } catch (error) {
      if (!(error instanceof ReviewError)) throw error;
      io.stderr.write(`milter quarantine: ${item.id}: ${printable(error.message)}\n`);
      status = 1;
    }
  }
  await sink.finish();
  if ((values.to ?? '-') !== '-') {
    const said = `${written} ${written === 1 ? 'message is' : 'messages are'} in ${printable(values.to ?? '')}`;
    io.stdout.write(values.json === true ? toJson({ messages: written, to: values.to }) : `${said}\n`);
  }
  return status;
}

/** Always allows the sender of one to write to its owner. */
export async function allow({ review, held, who, args, io }: Work): Promise<number> {
  const item = await find(held, args[0] ?? '');
  const { kind, address, owner } = await review.allow(who, item.id);
  io.stdout.write(`${printable(owner)} always allows ${kind}:${printable(address)}\n`);
  return 0;
}

/** Who is allowed; or forgets one of them. */
export async function listAllowed({ review, allowed, who, values, io }: Work): Promise<number> {
  const owner = values.owner === undefined ? undefined : comparableAddress(values.owner);
  if (values.remove === undefined) {
    const entries = [];
    for await (const entry of allowed.list(owner)) entries.push(entry);
    if (values.json === true) io.stdout.write(toJson(entries));
    else if (entries.length === 0) io.stdout.write('Nobody is allowed.\n');
    else
      for (const { owner: whose, kind, address, by } of entries)
        io.stdout.write(`${printable(`${whose}  ${kind}:${address}  by ${by}`)}\n`);
    return 0;
  }
  const [, kind, address = ''] = /^(from|sender):(.+)$/.exec(values.remove) ?? [];
  if (owner === undefined || (kind !== 'from' && kind !== 'sender'))
    throw optionFault('--remove takes from:ADDRESS or sender:ADDRESS, and needs --owner');
  if (!(await review.disallow(who, { owner, kind, address: comparableAddress(address) })))
    throw fault(`${owner} does not allow ${values.remove}`);
  if (values.json !== true) io.stdout.write(`${printable(`${owner} no longer allows ${values.remove}`)}\n`);
  return 0;
}

/** Compares items and files. */
export async function checkAll(work: Work): Promise<number> {
  const { held, config, values, io } = work;
  const report = await work.check();
  if (values.json === true) io.stdout.write(toJson(report));
  else io.stdout.write(formatReport(report, held.folder.path, config.settings.quarantine.max_size));
  return report.lost.length === 0 ? 0 : 1;
}

/** Does it with each; one that cannot be done is told, and the others are. */
async function each(
  { io, values }: Work,
  items: readonly HeldItem[],
  work: (item: HeldItem) => Promise<string | undefined>,
): Promise<number> {
  let status = 0;
  const results: { id: string; done: boolean; text: string }[] = [];
  for (const item of items) {
    let text: string | undefined;
    let done = true;
    try {
      text = await work(item);
    } catch (error) {
      if (!(error instanceof ReviewError || error instanceof MilterError)) throw error;
      text = error.message.includes(item.id) ? error.message : `${item.id}: ${error.message}`;
      done = false;
      status = 1;
    }
    if (values.json === true) results.push({ id: item.id, done, text: text ?? '' });
    else if (!done) io.stderr.write(`milter quarantine: ${printable(text ?? '')}\n`);
    else if (text !== undefined) io.stdout.write(`${text}\n`);
  }
  if (values.json === true && values.to !== '-') io.stdout.write(toJson(results));
  return status;
}

async function trainBefore({ review, who, values, io }: Work, item: HeldItem): Promise<void> {
  if (values.ham !== true && values.spam !== true) return;
  const as = values.ham === true ? 'ham' : 'spam';
  const line = trainedLine(item, as, await review.train(who, item.id, as));
  if (values.to !== '-' && values.json !== true) io.stdout.write(`${line}\n`);
}

function trainedLine(item: HeldItem, as: string, { learned, failed }: Trained): string {
  if (learned.length === 0)
    throw fault(
      `${item.id} was not learned: ${failed.map(({ name, fault }) => `${name}: ${fault}`).join('; ')}`,
    );
  const but = failed.map(({ name, fault }) => `; but ${name} failed: ${fault}`).join('');
  return printable(`${item.id} is ${as}: ${learned.join(', ')} learned it${but}`);
}
