/** Envelope senders of mail that is sent on, and the bounces that come back to them. */
import { Milter } from '../../../index.ts';
import { answerSrsMap, SrsError } from '../../../srs/index.ts';
import { defineModule, meantRole, signingRole, whoRole } from '../../kit.ts';
import { SrsAddresses } from './addresses.ts';
import { joinSocketMap } from './map-server.ts';
import { options, signingOf, unwise } from './options.ts';

export default defineModule({
  name: 'srs',
  about: 'Envelope senders of forwarded mail',
  once: true,
  options,
  findings: {
    forged: {
      about: 'recipient',
      text: 'a bounce to an address that was not rewritten here',
      enhanced: '5.1.1',
      reply: 'No mail was sent from this address: %{why}',
      values: ['why'],
    },
    expired: {
      about: 'recipient',
      text: 'a bounce to a rewritten address that is no longer good',
      enhanced: '5.1.1',
      reply: 'This return address is good no longer: %{why}',
      values: ['why'],
    },
    'not-bounces': {
      about: 'recipient',
      text: 'mail to a rewritten address that is no bounce',
      enhanced: '5.7.1',
      reply: '%{recipient} is a return address, which takes bounces only',
    },
  },
  check: unwise,
  setup: async ({ options, services }) => {
    const { domain, forward, forwarded, socketmap } = options;
    const addresses = new SrsAddresses(options, {
      now: services.now,
      isOurs: (address) => services.role(whoRole)?.isOurs(address) === true,
      failed: (sender, { message }) =>
        services.log.warn({ sender }, `a sender cannot be rewritten, and stays: ${message}`),
    });
    services.provide(signingRole, signingOf(options));
    for (const warning of unwise(options)) services.log.warn({}, warning);
    if (!services.observed) services.provide(meantRole, (recipient) => addresses.reverse(recipient));

    const leave =
      socketmap === undefined || !services.chores
        ? undefined
        : await joinSocketMap(
            socketmap,
            (map, key) =>
              answerSrsMap(map, key, {
                forward: (address) =>
                  services.observed || forward !== 'socketmap' ? undefined : addresses.forward(address),
                reverse: meant,
                isOurs: (host) => services.role(whoRole)?.isOurs(host) === true,
              }),
            services,
          );

    /** Also what other modules signed. */
    function meant(recipient: string): string | undefined {
      for (const reverse of services.holders(meantRole)) {
        const address = reverse(recipient);
        if (address !== undefined) return address ?? undefined;
      }
      return undefined;
    }

    class SrsModule extends Milter {
      override envrcpt(recipient: string): void {
        const report = addresses.inspect(recipient);
        if (report === undefined) return;
        const fault = report instanceof SrsError ? report : report.fault;
        if (fault !== undefined) {
          const short = fault.fault === 'expired' ? 'expired' : 'forged';
          services.found(this, short, { word: 'reject' }, { recipient, values: { why: fault.message } });
        } else if (this.message.sender !== '<>')
          services.found(this, 'not-bounces', options.not_bounces, { recipient });
      }

      override eom(): void {
        const { sender, recipients } = this.message;
        // The MTA itself takes back what it asks for.
        const reversed = new Map(
          forward === 'socketmap'
            ? []
            : recipients.flatMap(({ address }) => {
                const original = addresses.reverse(address);
                return typeof original === 'string' ? [[address, original] as const] : [];
              }),
        );
        const rewritten = forward === 'milter' ? addresses.forward(sender) : undefined;
        if (reversed.size === 0 && rewritten === undefined) return;
        services.change(this, (message, left) => {
          const leaves = left.some((address) => forwarded.has(address) || reversed.has(address));
          if (rewritten !== undefined && leaves) message.changeFrom(`<${rewritten}>`);
          for (const address of left) {
            const original = reversed.get(address);
            if (original === undefined) continue;
            message.deleteRcpt(address);
            message.addRcpt(`<${original}>`);
          }
        });
      }
    }
    const made = domain === undefined ? {} : { Milter: SrsModule };
    return leave === undefined ? made : { ...made, dispose: leave };
  },
});
