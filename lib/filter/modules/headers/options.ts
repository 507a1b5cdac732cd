/** The options of module `headers`. */
import { kinds, z } from '../../kit.ts';

const name = z
  .string()
  .regex(/^[!-9;-~]{1,100}$/, 'must be the name of a header field: printable ASCII without colon or space')
  .describe('The field');

/** The options of module `headers`. */
export const options = z.strictObject({
  subject_words: kinds.words().describe('Words that no subject should have; "file:PATH" has one a line'),
  from_words: kinds.words().describe('Words that no sender’s name should have; "file:PATH" has one a line'),
  words_action: kinds.action('score 5'),
  charsets: kinds.globs().describe('Charsets that nobody here reads, as globs'),
  charset_action: kinds.action('reject'),
  mailers: kinds.globs().describe('Programs that no decent mail is written with (X-Mailer), as globs'),
  mailer_action: kinds.action('score 5'),
  message_id_missing: kinds.action('score 1'),
  future_after: kinds.duration('48h').describe('How far in the future a Date may be'),
  future: kinds.action('score 1'),
  broken: kinds.action('score 2'),
  max_size: kinds.size('256KiB').describe('Of the header section; more is rejected'),
  strip_received: kinds
    .addresses()
    .describe('Internal Received lines are taken out of what goes to these alone'),
  remove: kinds.globs().describe('Fields that are taken out of outgoing mail, as globs'),
  replace: z
    .array(
      z.strictObject({
        name,
        find: kinds.pattern().describe('In the decoded value'),
        with: z.string().max(1_000).default('').describe('In its place; $1 stands for a group'),
      }),
    )
    .max(100)
    .default([])
    .describe('Texts that are replaced'),
  add: z
    .array(z.strictObject({ name, value: kinds.template().describe('Its text, with %{…}') }))
    .max(100)
    .default([])
    .describe('Fields that are added'),
});

/** The options as read. */
export type Options = z.output<typeof options>;
