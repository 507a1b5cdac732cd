/** What module `auth` takes. */
import { aLabels, isDomain, kinds, textKind, z } from '../../kit.ts';
import { keyFile } from './keys.ts';

const domain = textKind(
  'a domain such as "example.org"',
  (text) => {
    const name = aLabels(text);
    return isDomain(name) ? name : undefined;
  },
  undefined,
);

const selector = textKind(
  'a selector such as "2026"',
  (text) => {
    const name = text.toLowerCase();
    return isDomain(`${name}._domainkey`) ? name : undefined;
  },
  undefined,
);

const signer = z.strictObject({
  domain: domain.describe('Whose mail: that of From'),
  selector: selector.describe('Where its public key is: SELECTOR._domainkey.DOMAIN'),
  key: keyFile().describe('The private key in PEM, as "file:keys/2026.pem"'),
});

/** One key of ours. */
export type SignerOption = z.output<typeof signer>;

export const options = z
  .strictObject({
    dmarc: kinds
      .action('tag', ['policy'])
      .describe('DMARC failed: "policy" does what the domain asks, or an action'),
    dkim_fail: kinds
      .action('continue')
      .describe('A signature does not hold, and no other of its domain does'),
    arc_sealers: kinds.domains().describe('Domains whose ARC seal is believed'),
    results: z
      .boolean()
      .default(true)
      .describe('Authentication-Results on incoming mail; forged ones with our name are removed'),
    authserv_id: textKind(
      'a name such as "mx.example.org"',
      (text) => (/^[\w.-]{0,200}$/.test(text) ? text : undefined),
      '',
    ).describe('The name in them; several machines share one. Default: hostname'),
    sign: z.array(signer).default([]).describe('Keys; several for one domain make several signatures'),
    seal: z.boolean().default(false).describe('An ARC set on what is forwarded, with the first key of sign'),
  })
  .refine(({ seal, sign }) => !seal || sign.length > 0, {
    path: ['seal'],
    error: 'needs a key in sign',
  })
  .refine(({ sign }) => new Set(sign.map((one) => `${one.selector} ${one.domain}`)).size === sign.length, {
    path: ['sign'],
    error: 'has one selector of one domain twice',
  });

/** What it takes, as it is read. */
export type Options = z.output<typeof options>;
