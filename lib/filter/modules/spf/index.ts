/** Whether the sender's domain lets this client send its mail. */
import { type CheckResult, receivedSpf } from '../../../spf/index.ts';
import {
  type Action,
  authFact,
  authRole,
  ClientJudge,
  clientFact,
  type Details,
  defineModule,
  forwardedFact,
  type JudgedClient,
  kinds,
  namesOf,
  spfFact,
  spfKnownFact,
  z,
} from '../../kit.ts';
import { look, type Outcome } from './check.ts';

/** What a signature saves from. */
const REFUSALS: readonly string[] = ['reject', 'tempfail', 'callout'];
const VALUES = ['checked', 'explanation', 'problem'];
const FORWARD = 'Do you forward mail? Then its sender must be rewritten (SRS)';

export default defineModule({
  name: 'spf',
  about: 'Whether the sender’s domain lets this client send its mail',
  when: ['external'],
  alsoWhen: ({ internal_policy }) => (internal_policy ? ['internal'] : []),
  stage: 'envelope',
  options: z.strictObject({
    pass: kinds.action('continue').describe('The domain lets the client send its mail'),
    fail: kinds.action('reject').describe('It forbids it'),
    softfail: kinds
      .action('continue', ['callout'])
      .describe('It probably forbids it; "callout": accepted if the sender takes a DSN that explains it'),
    neutral: kinds.action('continue').describe('It does not say'),
    none: kinds.action('continue').describe('It has no record'),
    permerror: kinds.action('continue').describe('Its record is broken'),
    temperror: kinds.action('tempfail').describe('DNS does not answer'),
    helo_fail: kinds.action('reject').describe('The HELO name’s own record forbids this client'),
    dkim_saves: z
      .boolean()
      .default(true)
      .describe(
        'With module auth: what would be refused or asked about waits for the end, and is void if DKIM passes in alignment',
      ),
    three_strikes: kinds.action('continue', ['callout']).describe('Neither PTR, nor HELO, nor SPF is valid'),
    best_guess: z
      .boolean()
      .default(false)
      .describe('A domain without a record is spared where its own servers send'),
    delegate: kinds.domain('').describe('x.example without a record is judged by x.example._spf.DELEGATE'),
    accept_softfail: kinds.addresses().describe('Whose softfail is none'),
    accept_fail: kinds.addresses().describe('Whose fail is none'),
    reject_neutral: kinds.addresses().describe('Whose neutral and softfail are refused'),
    reject_noptr: z.boolean().default(false).describe('Refuses who has neither PTR nor SPF'),
    forwarders: kinds.domains().describe('Domains whose relays may forward anything'),
    received_spf: z.boolean().default(true).describe('Writes the header Received-SPF'),
    internal_policy: z.boolean().default(false).describe('Judges internal mail too'),
  }),
  needs: [
    {
      module: 'callout',
      why: 'which its action "callout" asks',
      when: ({ softfail, three_strikes }) => softfail.word === 'callout' || three_strikes.word === 'callout',
      lacks: ({ verify, dsn }) =>
        verify === 'asked' || dsn === 'asked'
          ? undefined
          : 'has action "callout", and module "callout" asks nobody: give it verify = "asked" or dsn = "asked"',
    },
  ],
  wants: [
    {
      module: 'auth',
      why: 'by whose signatures dkim_saves spares what it would refuse',
      when: ({ dkim_saves, fail, softfail, neutral, none, permerror }) =>
        dkim_saves &&
        [fail, softfail, neutral, none, permerror].some(
          ({ word }) => word === 'reject' || word === 'callout',
        ),
    },
  ],
  findings: {
    pass: {
      about: 'sender',
      text: 'SPF: the client may send for the sender’s domain',
      enhanced: '5.7.1',
      reply: 'We take no mail from %{checked}',
      values: VALUES,
    },
    fail: {
      about: 'sender',
      text: 'SPF: the client may not send for the sender’s domain',
      enhanced: '5.7.23',
      reply: `The SPF record of %{checked} does not let %{client} send its mail%{explanation}. ${FORWARD}`,
      values: VALUES,
    },
    softfail: {
      about: 'sender',
      text: 'SPF: the client probably may not send for the sender’s domain',
      enhanced: '5.7.23',
      reply: `The SPF record of %{checked} does not name %{client} as one that may send its mail. ${FORWARD}`,
      values: VALUES,
    },
    neutral: {
      about: 'sender',
      text: 'SPF: the sender’s domain does not say whether the client may',
      enhanced: '5.7.23',
      reply: 'The SPF record of %{checked} does not say whether %{client} may send its mail',
      values: VALUES,
    },
    none: {
      about: 'sender',
      text: 'SPF: the sender’s domain has no record',
      enhanced: '5.7.23',
      reply: '%{checked} has no SPF record, so we cannot tell whether %{client} may send its mail',
      values: VALUES,
    },
    permerror: {
      about: 'sender',
      text: 'SPF: the record of the sender’s domain is broken',
      enhanced: '5.7.24',
      reply: 'The SPF record of %{checked} is broken, so %{client} cannot be checked: %{problem}',
      values: VALUES,
    },
    temperror: {
      about: 'sender',
      text: 'SPF: DNS does not answer for the sender’s domain',
      code: 451,
      enhanced: '4.4.3',
      reply: 'DNS does not answer for the SPF record of %{checked}, so %{client} cannot be checked now',
      values: VALUES,
    },
    'helo-fail': {
      about: 'helo',
      text: 'SPF: the client may not call itself by this HELO name',
      enhanced: '5.7.23',
      reply: 'The SPF record of your HELO name %{checked} does not let %{client} use it%{explanation}',
      values: VALUES,
    },
    'three-strikes': {
      about: 'sender',
      text: 'neither the client’s name, nor its HELO, nor SPF is valid',
      enhanced: '5.7.23',
      reply:
        'Nothing tells whose server %{client} is: no PTR leads back to it, the HELO %{helo} is not its own, and %{checked} does not vouch for it by SPF',
      values: VALUES,
    },
    'reject-noptr': {
      about: 'sender',
      text: 'the client has no name, and the sender’s domain no SPF record',
      enhanced: '5.7.25',
      reply:
        '%{client} has no PTR that leads back to it, and %{checked} has no SPF record: one of them is needed',
      values: VALUES,
    },
  },
  setup: ({ options, services }) => {
    /** The action of a result, and the list that made an exception. */
    function actionOf({ check, guessed }: Outcome, sender: string) {
      const isIn = (list: typeof options.accept_fail): boolean =>
        list.has(sender) || (sender === '<>' && list.hasDomain(check.domain));
      const { result } = check;
      const exception = (word: 'continue' | 'reject', note: string) => ({ action: { word }, note });
      if (result === 'fail' && isIn(options.accept_fail)) return exception('continue', 'accept_fail');
      if (result === 'softfail' && isIn(options.accept_softfail))
        return exception('continue', 'accept_softfail');
      // Who wants it of a domain that says nothing wants it of one that says "probably not".
      if ((result === 'neutral' || result === 'softfail') && isIn(options.reject_neutral))
        return exception('reject', 'reject_neutral');
      if (guessed) return exception('continue', 'best_guess: pass');
      return { action: options[result], note: check.mechanism ?? check.problem };
    }

    return class Spf extends ClientJudge {
      /** Findings that wait for the signatures. */
      #waiting: (() => void)[] = [];

      override envfrom(): void {
        this.#waiting = [];
        super.envfrom();
      }

      override async judge(client: JudgedClient): Promise<() => void> {
        const { sender } = this.message;
        const claim = { ip: client.address, sender, helo: client.helo, receiver: services.hostname };
        const known = spfKnownFact.get(this);
        const looking = look(claim, {
          resolver: services.resolver,
          delegate: options.delegate,
          guesses: options.best_guess,
          forwarders: options.forwarders.all(),
          names: () => namesOf(this, client, services.resolver),
        });
        spfFact.set(
          this,
          looking.then(
            ({ check }) => check,
            () => undefined,
          ),
        );
        const outcome = await looking;
        known.check = outcome.check;
        known.forwarder = outcome.forwarder;
        return () => {
          this.#report(outcome, sender);
          if (!options.received_spf) return;
          const value = receivedSpf(outcome.check, claim);
          services.change(this, (message) => message.insertHeader(0, 'Received-SPF', value));
        };
      }

      override eom(): Promise<void> | undefined {
        const judging = super.eom();
        if (judging !== undefined) return judging.then(() => this.#reportWaiting());
        this.#reportWaiting();
        return undefined;
      }

      #reportWaiting(): void {
        for (const report of this.#waiting.splice(0)) report();
      }

      #report(outcome: Outcome, sender: string): void {
        const { check, helo, forwarder, names, guessed } = outcome;
        const values = valuesOf(check);
        const subject = sender === '<>' ? check.domain : sender;
        const { action, note } = actionOf(outcome, sender);
        // The null sender has no other name than that, and an exception made for it.
        if (helo.result === 'fail' && !(helo === check && note === 'accept_fail')) {
          this.#found('helo-fail', options.helo_fail, { values: valuesOf(helo), subject: helo.domain });
        }
        const details = { values, subject, note };
        if (forwarder !== undefined) {
          const by = { ...details, note: `forwarded by ${forwarder}` };
          this.#found(check.result, { word: 'continue' }, by);
          return;
        }
        this.#found(check.result, action, details);
        if (outcome.outAfterThree) this.#found('three-strikes', options.three_strikes, { values, subject });
        if (options.reject_noptr && names.status === 'none' && check.result === 'none' && !guessed) {
          this.#found('reject-noptr', { word: 'reject' }, { values, subject });
        }
      }

      /** What would be refused waits for the signatures, where somebody verifies them: forwarding breaks SPF, not DKIM. */
      #found(short: Short, action: Action | { readonly word: string }, details: Details): void {
        // It is the forwarder who calls himself by that name.
        const forwarded = short === 'helo-fail' ? undefined : forwardedFact.get(this);
        const spares = (recipient: string): boolean => forwarded?.get(recipient)?.() === true;
        const isRefusal = REFUSALS.includes(action.word);
        if (!isRefusal || !options.dkim_saves || services.role(authRole) === undefined) {
          services.found(this, short, action, { ...details, spares });
          return;
        }
        const report = (): void =>
          services.found(this, short, action, {
            ...details,
            spares,
            unless: () => authFact.get(this)?.aligned === true,
          });
        if (clientFact.get(this).relayed) report();
        else this.#waiting.push(report);
      }
    };
  },
});

type Short = CheckResult['result'] | 'helo-fail' | 'three-strikes' | 'reject-noptr';

/** For replies. The explanation and the problem are the stranger's own words. */
function valuesOf({ domain, explanation, problem }: CheckResult): Readonly<Record<string, string>> {
  return {
    checked: domain,
    explanation: explanation === '' ? '' : ` (it says: ${explanation.slice(0, 120)})`,
    problem: (problem ?? '').slice(0, 120),
  };
}
