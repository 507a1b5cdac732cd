/** Plays a whole message through a milter connection, stage by stage, as an MTA would. */
import { inBrackets } from '../address.ts';
import { wrongArgument } from '../errors.ts';
import { checkOptions, flag, integer, type Kinds, object, oneOf, text, texts } from '../options.ts';
import type { Action, Macros, StageReply } from '../protocol/exchange.ts';
import type { VerdictStage as Stage } from '../protocol/stages.ts';
import type { MessageResult, MtaConnection, RecipientResult, SendOptions } from './connection.ts';
import { deliver } from './delivered.ts';
import { type MessageContent, readEml } from './eml.ts';

/** The part of a connection that playing needs. */
export type MessageStages = Omit<MtaConnection, 'sendMessage' | 'quit' | 'close' | keyof AsyncDisposable>;

const KINDS: Kinds<SendOptions> = {
  client: object(),
  helo: text,
  local: flag,
  sender: text,
  recipients: texts,
  macros: object(),
};

const CLIENT_KINDS: Kinds<NonNullable<SendOptions['client']>> = {
  hostname: text,
  family: oneOf('inet', 'inet6', 'unix', 'unknown'),
  address: text,
  port: integer(0, 65_535),
};

/** The body of `sendMessage`, for every kind of connection; see {@link MtaConnection.sendMessage}. */
export async function playMessage(
  mta: MessageStages,
  eml: string | Uint8Array,
  options: SendOptions,
): Promise<MessageResult> {
  checkOptions('sendMessage option', options, KINDS, wrongArgument);
  checkOptions('sendMessage option "client" field', options.client ?? {}, CLIENT_KINDS, wrongArgument);
  if (options.local === true && (options.client ?? options.helo) !== undefined) {
    throw wrongArgument('sendMessage option "local" goes with neither "client" nor "helo"');
  }
  if (options.sender === undefined) throw wrongArgument('sendMessage option "sender" is missing');
  if ((options.recipients ?? []).length === 0)
    throw wrongArgument('sendMessage needs at least one recipient');
  const content = readEml(eml);
  const { stage, reply, recipients, actions } = await playStages(mta, content, options);
  const sender = inBrackets(options.sender);
  if (isRefusal(reply) || reply.verdict === 'discard') {
    return { ...reply, stage, recipients, message: deliver(content, { sender, recipients: [] }, []) };
  }
  const accepted = recipients.filter((recipient) => !isRefusal(recipient)).map(({ address }) => address);
  return {
    ...reply,
    stage,
    recipients,
    message: deliver(content, { sender, recipients: accepted }, actions),
  };
}

interface Played {
  /** Whose verdict ended it. */
  readonly stage: Stage;
  readonly reply: StageReply;
  readonly recipients: readonly RecipientResult[];
  readonly actions: readonly Action[];
}

async function playStages(
  mta: MessageStages,
  content: MessageContent,
  options: SendOptions,
): Promise<Played> {
  const { client, macros = {} } = options;
  const addresses = options.recipients.map(inBrackets);
  /** An address as this MTA writes it. */
  const written = (address: string): string =>
    options.local === true ? inBrackets(address).slice(1, -1) : inBrackets(address);
  const recipients: RecipientResult[] = [];

  /** The outcome before end of message; whoever accepts accepts for the recipients still to come. */
  const ended = (stage: Stage, reply: StageReply): Played => {
    if (reply.verdict === 'accept') {
      recipients.push(...addresses.slice(recipients.length).map((address) => ({ ...reply, address })));
    }
    return { stage, reply, recipients, actions: [] };
  };
  /** The same with the filter told that the message is over. */
  const aborted = async (stage: Stage, reply: StageReply): Promise<Played> => {
    await mta.abort();
    return ended(stage, reply);
  };

  const hostname = client?.hostname ?? 'localhost';
  const greeting = sessionMacros(macros);
  const address = client?.address === undefined && client?.family === undefined ? LOCALHOST : client;
  const connect = mta.greeting.connect ?? (await mta.connect(hostname, address, greeting));
  if (endsSession(connect)) return ended('connect', connect);
  const helo = mta.greeting.helo ?? (await mta.helo(options.helo ?? hostname, greeting));
  if (endsSession(helo)) return ended('helo', helo);

  const envfrom = await mta.envfrom(written(options.sender), [], macros);
  if (endsMessage(envfrom)) return aborted('envfrom', envfrom);
  for (const address of addresses) {
    const envrcpt = await mta.envrcpt(written(address), [], macros);
    recipients.push({ ...envrcpt, address });
    if (endsMessage(envrcpt) && !isRefusal(envrcpt)) return aborted('envrcpt', envrcpt);
  }
  const last = recipients.at(-1);
  if (last !== undefined && recipients.every(isRefusal)) {
    const { address: _, ...reply } = last;
    return aborted('envrcpt', reply);
  }

  const data = await mta.data(macros);
  if (endsMessage(data)) return aborted('data', data);
  for (const { name, raw } of content.headers) {
    const header = await mta.header(name, raw);
    if (endsMessage(header)) return aborted('header', header);
  }
  const eoh = await mta.eoh(macros);
  if (endsMessage(eoh)) return aborted('eoh', eoh);
  const body = await mta.body(content.body);
  if (endsMessage(body)) return aborted('body', body);

  const { actions, progress: _, ...eom } = await mta.eom(macros);
  const reply = actions.some((action) => action.type === 'replaceBody' && !action.contiguous)
    ? TORN_BODY
    : eom;
  return { stage: 'eom', reply, recipients, actions };
}

const LOCALHOST = { address: '127.0.0.1' };

/** Postfix fails such a message, and so do we: it is a fault in the filter. */
const TORN_BODY: StageReply = {
  verdict: 'tempfail',
  reply: {
    code: 451,
    enhanced: '4.3.5',
    lines: ['The chunks of the new body did not come in one run, which Postfix refuses'],
  },
};

function isRefusal({ verdict }: StageReply): boolean {
  return verdict === 'reject' || verdict === 'tempfail';
}

function endsMessage(reply: StageReply): boolean {
  return isRefusal(reply) || reply.verdict === 'accept' || reply.verdict === 'discard';
}

/** Discard has no meaning before there is a message: MTAs pass over it. */
function endsSession(reply: StageReply): boolean {
  return endsMessage(reply) && reply.verdict !== 'discard';
}

/** Without the macros that an MTA knows only once there is a message. */
function sessionMacros(macros: Macros): Macros {
  return Object.fromEntries(
    Object.entries(macros).filter(([name]) => !/^\{?(?:i|msg_id|(?:mail|rcpt|auth)_.*)\}?$/.test(name)),
  );
}
