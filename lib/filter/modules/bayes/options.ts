/** What module `bayes` is told. */
import { kinds, z } from '../../kit.ts';

const score = (otherwise: number) => z.number().min(0).max(1).default(otherwise);

export const options = z.strictObject({
  users: z
    .union(
      [
        z.enum(['shared', 'each']),
        z.strictObject({ groups: kinds.addressGroups().describe('Who shares a dictionary') }),
      ],
      {
        error: 'must be "shared", "each" or { groups = "file:PATH" }',
      },
    )
    .default('shared')
    .describe(
      'One dictionary for all; "each" recipient his own, blended with the shared one; or { groups = "file:PATH" }',
    ),
  spam: kinds.action('quarantine').describe('From spam_from on'),
  unsure: kinds.action('tag').describe('Between ham_to and spam_from'),
  spam_from: score(0.99).describe('The score of spam'),
  ham_to: score(0.45).describe('Up to here it is no spam'),
  headers_only: z
    .boolean()
    .default(false)
    .describe('Header triage: judged by the headers alone, and refused from triage_from on'),
  triage: z.string().min(1).max(320).default('shared').describe('The dictionary of header triage'),
  triage_from: score(0.93).describe('The score from which header triage refuses'),
  min_trained: z
    .int()
    .min(1)
    .max(1_000_000)
    .default(50)
    .describe('Messages of each kind that are learned before it judges at all'),
  max_size: kinds.size('256kB').describe('Larger messages are not judged'),
  exempt: kinds.addresses().describe('Recipients whose mail is not judged'),
  traps: kinds.addresses().describe('Mail to these is learned as spam; that recipient is taken out'),
  trap: kinds.action('score 5').describe('For the other recipients of such mail'),
  learn: z
    .array(
      z
        .strictObject({
          spam: kinds
            .addressEntry()
            .describe('What our users forward to it as attachment is learned as spam'),
          ham: kinds.addressEntry().describe('The same for what is no spam'),
        })
        .refine(({ spam, ham }) => spam.text !== ham.text, 'needs two addresses, one for each kind'),
    )
    .max(100)
    .default([])
    .describe('Addresses to which our users forward messages, as attachments, to teach'),
  auto: z.boolean().default(false).describe('Learns from what other modules than itself are sure of'),
});

/** The options, read. */
export type BayesOptions = z.output<typeof options>;
