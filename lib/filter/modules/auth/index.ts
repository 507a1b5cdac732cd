/** DKIM, ARC and DMARC: whose mail it is; and signatures for what goes out. */
import { type Header, type Message, Milter } from '../../../index.ts';
import { type CheckResult, checkHost } from '../../../spf/index.ts';
import {
  type Action,
  type AuthFact,
  aLabels,
  authFact,
  authRole,
  clientFact,
  defineModule,
  forwardedFact,
  isAligned,
  RELEASED_HEADER,
  readMailboxes,
  spfFact,
  spfKnownFact,
  whoRole,
  within,
} from '../../kit.ts';
import { hashBody } from './canonical.ts';
import { publishedFault } from './keys.ts';
import { type Options, options, type SignerOption } from './options.ts';
import { verifyPlainly } from './plain.ts';
import { asBytes, readReceivedMail } from './received.ts';
import { claimsToBe, type MethodResult, writeResults } from './results.ts';
import { vouches } from './sealers.ts';
import { nextSet, sealMail, signMail } from './sign.ts';
import type { Dmarc, Policy, Signature, SpfIdentity, Verified } from './verified.ts';
import { openVerifier } from './verifier.ts';

/** Milliseconds for SPF where module spf has not looked. */
const SPF_TIME = 5_000;
/** How often keys are looked at, in milliseconds. */
const REFRESH = 3_000;
/** From fields name as many domains for which we sign, at most. */
const MAX_AUTHORS = 5;

export default defineModule({
  name: 'auth',
  about: 'DKIM, ARC and DMARC: whose mail it is; signs what goes out',
  once: true,
  changes: ['edit', 'sign'],
  options,
  findings: {
    dmarc: {
      about: 'from',
      text: 'DMARC: nothing proves that the mail is of its From domain',
      enhanced: '5.7.26',
      reply:
        'Nothing proves that this mail is of %{author}, whose DMARC record asks for proof: %{evidence}. Do you forward mail? Then leave it as it is, or seal it (ARC)',
      values: ['author', 'evidence', 'policy'],
    },
    'dmarc-temperror': {
      about: 'from',
      text: 'DMARC: DNS does not answer for the From domain',
      code: 451,
      enhanced: '4.4.3',
      reply:
        'DNS does not answer for the DMARC record or a key of %{author}, so its mail cannot be proven now',
      values: ['author', 'evidence', 'policy'],
    },
    'dkim-fail': {
      about: 'dkim',
      text: 'a DKIM signature does not hold',
      enhanced: '5.7.20',
      reply: 'The DKIM signature of %{signer} does not hold: %{problem}. Was the mail changed on its way?',
      values: ['signer', 'problem'],
    },
  },
  check: async ({ sign }, resolver) => {
    const faults = await Promise.all(
      sign.map(async (one) => [...one.key.warnings(), await publishedFault(one, resolver)]),
    );
    return [...new Set(faults.flat())].filter((fault) => fault !== undefined);
  },
  setup: async ({ options, services }) => {
    const { sign, seal, arc_sealers } = options;
    const authservId = options.authserv_id || services.hostname;
    const verifier = openVerifier();
    services.provide(authRole, true);
    const keys = [...new Map(sign.map(({ key }) => [key.path, key])).values()];
    if (keys.length > 0) {
      services.every(REFRESH, async () => {
        for (const key of keys) await key.refresh(services.log);
      });
    }

    /** What SPF says, of module spf or, where it did not look, asked here: without it DMARC fails what only SPF proves. */
    async function spfOf(milter: Milter): Promise<CheckResult | undefined> {
      const { judged } = clientFact.get(milter);
      const { sender } = milter.message;
      const known = await spfFact.get(milter);
      if (known !== undefined || judged?.address === undefined) return known;
      const { address: ip, helo } = judged;
      const { resolver, hostname: receiver } = services;
      return await within(SPF_TIME, (signal) => checkHost({ ip, sender, helo, receiver, resolver, signal }));
    }

    function isForwarded(milter: Milter): boolean {
      const who = services.role(whoRole);
      return milter.message.recipients.some(({ address }) => who?.isOurs(address) !== true);
    }

    return {
      dispose: () => verifier.dispose(),
      Milter: class Auth extends Milter {
        override async eom(): Promise<void> {
          const { kind } = clientFact.get(this);
          if (kind === 'external') await this.#judge();
          else await this.#leave(kind === 'authenticated');
        }

        /** Mail from outside. */
        async #judge(): Promise<void> {
          const { message } = this;
          const { judged } = clientFact.get(this);
          const { forwarder } = spfKnownFact.get(this);
          const spf = await spfOf(this);
          const verified = await this.#verify(spf);
          // Late: the message is over.
          if (this.message !== message) return;
          const { dkim, arc, dmarc } = verified;
          const passed = [
            ...new Set(dkim.filter(({ result }) => result === 'pass').map((one) => one.domain)),
          ];
          const sealer = vouches(arc.sets, dmarc.domain, (domain) => arc_sealers.has(domain));
          authFact.set(this, factOf(dmarc, passed, spf, sealer, arc.sets.at(-1)?.sealer));
          this.#report(verified, spf, sealer ?? forwarder);
          const { address, helo = '' } = judged ?? {};
          const results = resultsOf(verified, spf, { sender: message.sender, helo, address });
          if (options.results) {
            this.#removeForged();
            services.change(this, (changed) =>
              changed.insertHeader(0, 'Authentication-Results', writeResults(authservId, results)),
            );
          }
          if (seal && !arc.isUnsure && isForwarded(this)) {
            this.#sealWith(arc.result, writeResults(authservId, results));
          }
        }

        /** Mail of our own. */
        async #leave(isAuthenticated: boolean): Promise<void> {
          const { message } = this;
          if (isAuthenticated && options.results) this.#removeForged();
          // An outsider's, it may be, that was held and comes back by this machine.
          if (message.headers.get(RELEASED_HEADER) !== undefined) return;
          const signers = signersOf(message.headers.getAll('From'), sign);
          if (signers.length > 0) {
            services.change(this, (changed) => this.#sign(changed), 'sign');
          } else if (seal && !isAuthenticated && isForwarded(this)) {
            // A list or a forwarder of ours sends it on; what we found when it came stands in it.
            const { arc } = await this.#verify(undefined);
            const found = message.headers
              .getAll('Authentication-Results')
              .find((one) => claimsToBe(authservId, one.value));
            if (!arc.isUnsure) this.#sealWith(arc.result, found?.value.trim() ?? `${authservId}; none`);
          }
        }

        async #verify(spf: CheckResult | undefined): Promise<Verified> {
          const { message } = this;
          const { fields, isSigned, authors, skipped } = readReceivedMail(message);
          const identity: SpfIdentity | undefined = spf && { result: spf.result, domain: spf.domain };
          const mail = {
            authors,
            body: isSigned ? message.body : undefined,
            spf: identity,
            now: services.now(),
            resolver: services.resolver,
          };
          const plain = skipped === undefined ? await verifyPlainly({ ...mail, fields }) : undefined;
          if (plain !== undefined) return plain;
          const found = await verifier.verify({ ...mail, head: asBytes(fields) });
          if (skipped === undefined) return found;
          const { reason, isFault } = skipped;
          const unread = {
            domain: '',
            identity: undefined,
            selector: undefined,
            algorithm: undefined,
            start: undefined,
          };
          const isOpen = found.dmarc.result === 'fail' && !isFault;
          return {
            dkim: [{ ...unread, result: 'neutral', comment: reason }],
            arc: { ...found.arc, result: 'fail', comment: reason },
            dmarc: isOpen ? { ...found.dmarc, result: 'permerror', problem: reason } : found.dmarc,
          };
        }

        #report({ dkim, dmarc }: Verified, spf: CheckResult | undefined, voucher: string | undefined): void {
          const holding = new Set(dkim.filter(({ result }) => result === 'pass').map(({ domain }) => domain));
          const broken = dkim.filter(
            ({ result, domain }) => result !== 'pass' && result !== 'temperror' && !holding.has(domain),
          );
          for (const { domain, comment, result } of new Map(
            broken.map((one) => [one.domain, one]),
          ).values()) {
            const problem = comment ?? result;
            services.found(this, 'dkim-fail', options.dkim_fail, {
              subject: domain,
              values: { signer: domain || 'an unnamed domain', problem },
              note: problem,
            });
          }
          const { domain, policy, result } = dmarc;
          const values = { author: domain, policy: policy ?? 'unknown', evidence: evidenceOf(dkim, spf) };
          const forwarded = forwardedFact.get(this);
          const spares = (recipient: string): boolean => forwarded.get(recipient)?.() === true;
          const details = { subject: domain, values, spares };
          if (result === 'temperror') {
            const note = evidenceOf(dkim, spf);
            services.found(this, 'dmarc-temperror', unsureAction(options.dmarc, policy), {
              ...details,
              note,
            });
          } else if (result === 'fail') {
            const note = voucher === undefined ? dmarc.problem : `void: ${voucher} is believed`;
            const action = voucher === undefined ? failAction(options.dmarc, policy) : CONTINUE;
            services.found(this, 'dmarc', action, { ...details, note });
          }
        }

        #removeForged(): void {
          const forged = this.message.headers
            .getAll('Authentication-Results')
            .flatMap(({ value }, index) => (claimsToBe(authservId, value) ? [index + 1] : []));
          if (forged.length === 0) return;
          services.change(this, (message) => {
            for (const occurrence of forged.reverse())
              message.changeHeader('Authentication-Results', occurrence, null);
          });
        }

        async #sign(message: Message): Promise<void> {
          const mail = await signedMail(message);
          if (mail === undefined) return;
          const from = mail.fields.filter(({ name }) => name.toLowerCase() === 'from');
          const signers = signersOf(from, sign);
          for (const signer of signers.toReversed()) {
            message.insertHeader(0, 'DKIM-Signature', await signMail(mail, signer));
          }
        }

        #sealWith(result: 'none' | 'pass' | 'fail', results: string): void {
          const [signer] = sign;
          if (signer === undefined) return;
          services.change(
            this,
            async (message) => {
              const mail = await signedMail(message);
              if (mail === undefined) return;
              const next = nextSet(mail.fields, result);
              if (next === undefined) return;
              const written = await sealMail(mail, next, results, signer);
              message.insertHeader(0, 'ARC-Authentication-Results', written.results);
              message.insertHeader(0, 'ARC-Message-Signature', written.signature);
              message.insertHeader(0, 'ARC-Seal', written.seal);
            },
            'sign',
          );
        }
      },
    };

    /** What will be delivered; undefined where that cannot be known. */
    async function signedMail(message: Message) {
      if (!message.bodyComplete) {
        services.log.warn({ queueId: message.queueId }, 'not signed: the body is larger than max_body');
        return undefined;
      }
      const fields: readonly Header[] = [...(await message.mime()).root.headers];
      return { fields, bodyHash: await hashBody(message.body), time: Math.floor(services.now() / 1_000) };
    }
  },
});

const CONTINUE: Action = { word: 'continue' };

type DmarcAction = Options['dmarc'];

function failAction(action: DmarcAction, policy: Policy | undefined): Action {
  if (action.word !== 'policy') return action;
  return policy === 'reject' || policy === 'quarantine' ? { word: policy } : CONTINUE;
}

/** Where a failure would not let the mail pass, it is to come again when DNS answers. */
function unsureAction(action: DmarcAction, policy: Policy | undefined): Action {
  const isStern =
    action.word === 'policy'
      ? policy !== 'none'
      : ['reject', 'tempfail', 'discard', 'hold', 'quarantine'].includes(action.word);
  return isStern ? { word: 'tempfail' } : CONTINUE;
}

function factOf(
  { result, domain }: Dmarc,
  passed: readonly string[],
  spf: CheckResult | undefined,
  believed: string | undefined,
  sealer: string | undefined,
): AuthFact {
  const identities = spf?.result === 'pass' ? [...passed, spf.domain] : passed;
  // Who publishes no policy has not said where his domain begins.
  const isClose = result === 'none' && identities.some((identity) => isAligned(identity, domain));
  const aligned = result === 'pass' || isClose || believed !== undefined;
  return { dkim: passed, dmarc: result, aligned, sealer };
}

/** What we have to say of a message, in the order in which it was found. */
function resultsOf(
  { dkim, arc, dmarc }: Verified,
  spf: CheckResult | undefined,
  mail: { readonly sender: string; readonly helo: string; readonly address: string | undefined },
): readonly MethodResult[] {
  const signatures: readonly MethodResult[] = dkim.map(({ result, comment, ...found }) => ({
    method: 'dkim',
    result,
    comment,
    properties: {
      'header.d': found.domain,
      'header.i': found.identity,
      'header.s': found.selector,
      'header.a': found.algorithm,
      'header.b': found.start,
    },
  }));
  const isOfSender = spf?.identity === 'mailfrom';
  const asked = isOfSender ? { 'smtp.mailfrom': mail.sender.slice(1, -1) } : { 'smtp.helo': mail.helo };
  const { published, problem } = dmarc;
  return [
    ...(signatures.length > 0 ? signatures : [{ method: 'dkim', result: 'none', properties: {} } as const]),
    ...(spf === undefined ? [] : [{ method: 'spf', result: spf.result, properties: asked } as const]),
    {
      method: 'dmarc',
      result: dmarc.result,
      comment: problem ?? (published === undefined ? undefined : `p=${published}`),
      properties: {
        'header.from': dmarc.domain,
        'policy.dmarc': published === undefined ? undefined : dmarc.policy,
      },
    },
    {
      method: 'arc',
      result: arc.result,
      comment: arc.comment,
      properties: arc.result === 'none' ? {} : { 'smtp.remote-ip': mail.address },
    },
  ];
}

/** Why DMARC found no proof, for a postmaster. */
function evidenceOf(dkim: readonly Signature[], spf: CheckResult | undefined): string {
  const first = spf === undefined ? 'SPF was not checked' : `SPF says ${spf.result} of ${spf.domain}`;
  if (dkim.length === 0) return `${first}, there is no DKIM signature`;
  const seen = dkim.slice(0, 3).map(({ result, domain }) => `${result} of ${domain || 'no domain'}`);
  return `${first}, DKIM ${seen.join(', ')}`;
}

/** The keys for the domains that the one From field names. */
function signersOf(from: readonly Header[], sign: readonly SignerOption[]): readonly SignerOption[] {
  const [field] = from;
  // Readers would not agree whose mail it is.
  if (field === undefined || from.length > 1) return [];
  const domains = readMailboxes(field.value).map(({ address }) =>
    aLabels(address.slice(address.lastIndexOf('@') + 1)),
  );
  const authors = new Set(domains.slice(0, MAX_AUTHORS));
  return sign.filter(({ domain }) => authors.has(domain));
}
