/** The name of the client's address. */
import { isDynamicName, pointers } from '../../dns/index.ts';
import {
  ClientJudge,
  type ClientNames,
  defineModule,
  type JudgedClient,
  kinds,
  namesOf,
  ptrFact,
  z,
} from '../kit.ts';

export default defineModule({
  name: 'ptr',
  about: 'The name of the client’s address',
  when: ['external'],
  stage: 'envelope',
  onError: 'continue',
  options: z.strictObject({
    missing: kinds.action('continue').describe('The client has no forward-confirmed name'),
    dynamic: kinds.action('continue').describe('It has a name as dial-up lines have'),
    localhost: kinds.action('reject').describe('It claims to be localhost'),
  }),
  findings: {
    missing: {
      about: 'client',
      text: 'the client’s address has no confirmed name',
      enhanced: '5.7.25',
      reply:
        "Your mail server's address %{client} has no name in DNS (PTR) that leads back to it: ask your provider for one",
    },
    dynamic: {
      about: 'client',
      text: 'the client’s name is that of a dial-up line',
      enhanced: '5.7.25',
      reply:
        "Your mail server's name %{ptr} (%{client}) looks like that of a dial-up line: send through your provider's server",
      values: ['ptr'],
    },
    localhost: {
      about: 'client',
      text: 'the client’s address claims to be localhost',
      enhanced: '5.7.25',
      reply: `Your mail server's address %{client} has the name "%{ptr}" in DNS, which cannot be right`,
      values: ['ptr'],
    },
  },
  setup: ({ options, services }) =>
    class Ptr extends ClientJudge {
      override async judge(client: JudgedClient): Promise<() => void> {
        const { address } = client;
        if (address === undefined || isLoopback(address)) return () => {};
        const found = await namesOf(this, client, services.resolver);
        const absurd = (await this.#claims(client, found)).find(isAbsurd);
        const [name = null] = absurd === undefined ? found.names : [];
        const dynamic = name !== null && found.names.every((one) => isDynamicName(one, address));
        return () => {
          if (found.status !== 'unknown') ptrFact.set(this, { name, dynamic });
          if (absurd !== undefined) {
            services.found(this, 'localhost', options.localhost, { values: { ptr: absurd || '.' } });
          }
          if (found.status === 'none') services.found(this, 'missing', options.missing);
          if (dynamic)
            services.found(this, 'dynamic', options.dynamic, { values: { ptr: name }, note: name });
        };
      }

      /** What the address is called, confirmed or not: "localhost" leads back to nobody but ourselves. */
      async #claims({ address = '' }: JudgedClient, found: ClientNames): Promise<readonly string[]> {
        if (found.status === 'found') return found.names;
        const { client } = this.session;
        if (address === client.address) {
          const told = this.session.macro('client_ptr') ?? 'unknown';
          if (told !== 'unknown' && told !== '') return [told];
          if (client.hostname !== '' && isAbsurd(client.hostname)) return [client.hostname];
        }
        if (found.status === 'unknown') return [];
        const answer = await pointers(address, services.resolver);
        return answer.status === 'ok' ? answer.records : [];
      }
    },
});

function isAbsurd(name: string): boolean {
  return /^(?:localhost(?:\.localdomain)?)?\.?$/i.test(name);
}

function isLoopback(address: string): boolean {
  return address.startsWith('127.') || address === '::1';
}
