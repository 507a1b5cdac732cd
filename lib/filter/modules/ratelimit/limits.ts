/** The limits of the configuration, and what each counts. */
import { type Milter, parseAddress } from '../../../index.ts';
import { aLabels, clientFact, comparableAddress, kinds, networkOf, parseIp, z } from '../../kit.ts';

/** What is counted apart from one another: every user, every sender … */
const limitKeys = ['user', 'sender', 'sender_domain', 'recipient', 'client', 'network'] as const;

/** The most that may be in a window. */
const most = z.int().min(1).max(Number.MAX_SAFE_INTEGER).optional();

const limit = z
  .strictObject({
    name: z
      .string()
      .regex(/^[\w-]{1,40}$/, 'must be letters, digits, "-" and "_", 40 at most')
      .optional()
      .describe('For replies and the log; by default the key'),
    key: z.enum(limitKeys).describe('What is counted apart from one another'),
    when: z
      .array(z.enum(['external', 'internal', 'authenticated']))
      .default([])
      .describe('Which clients; by default all'),
    messages: most.describe('The most messages'),
    recipients: most.describe('The most recipients'),
    size: kinds.size().optional().describe('The most bytes of messages'),
    per: kinds.duration().describe('In so long a time'),
    exceeded: kinds.action('tempfail'),
  })
  .refine(({ messages, recipients, size }) => (messages ?? recipients ?? size) !== undefined, {
    error: 'limits nothing: it needs messages, recipients or size',
  })
  .refine(({ per }) => per >= 1_000, { path: ['per'], error: 'must be a second or more' })
  .transform((one) => ({ ...one, name: one.name ?? one.key }));

/** One limit. */
export type Limit = z.output<typeof limit>;

/** The kind of the option. */
export const limits = z
  .array(limit)
  .max(100)
  .default([])
  .describe('Sliding windows')
  .superRefine((all, context) => {
    for (const [i, { name }] of all.entries()) {
      if (all.findIndex((other) => other.name === name) === i) continue;
      const message = `has the name ${JSON.stringify(name)} that another limit has: give it one of its own`;
      context.addIssue({ code: 'custom', message, path: [i] });
    }
  });

/** Every MAIL of a client counts; of all else, what is accepted. */
export function countsAttempts({ key }: Limit): boolean {
  return key === 'client' || key === 'network';
}

/** Whether a limit is for this client. */
export function isFor({ when }: Limit, milter: Milter): boolean {
  return when.length === 0 || when.some((kind) => kind === clientFact.get(milter).kind);
}

/** Whose window it is; undefined where the message has nobody of the kind. */
export function countedOf({ key }: Limit, milter: Milter, recipient = ''): string | undefined {
  const { message, session } = milter;
  switch (key) {
    case 'user':
      return session.macro('auth_authen')?.toLowerCase() || undefined;
    case 'sender':
      return comparableAddress(message.sender) || undefined;
    case 'sender_domain':
      return aLabels(parseAddress(message.sender).domain) || undefined;
    case 'recipient':
      return comparableAddress(recipient) || undefined;
    case 'client':
      return parseIp(clientFact.get(milter).judged?.address ?? '')?.text;
    case 'network': {
      const address = parseIp(clientFact.get(milter).judged?.address ?? '');
      return address && networkOf(address, 24, 64);
    }
  }
}
