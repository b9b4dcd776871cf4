import { parseDuration } from '../lib/duration.ts';
import { addressFlag, expiresFlag, namespaceFlag } from './flag.ts';
import { UsageError } from './failure.ts';
import type { Console, Input, Verb } from './verb.ts';

export const ticketVerb: Verb = {
  name: 'ticket',
  usage: 'NAME [flags]',
  summary: "Print a ticket with which another host may use a claim's vGPUs",
  details:
    'Whoever presents the ticket first binds it to his key; with --for it is bound from the start, and worthless to anybody\n' +
    'else. `aquifer-connector key` prints the key of the other host.',
  examples: [
    'aquifer ticket trainer > ticket.json',
    'aquifer ticket trainer --for "$(ssh host aquifer-connector key)"',
    'aquifer ticket trainer --address vsock:2:9960 --address 192.168.122.1:9960',
  ],
  flags: [namespaceFlag, { name: 'for', value: 'KEY', help: 'Bind the ticket to this key' }, expiresFlag, addressFlag],
  run: runTicket,
};

async function runTicket(input: Input, console: Console): Promise<number> {
  const [name, ...more] = input.args;
  if (name === undefined || more.length > 0) throw new UsageError('exactly one claim is needed: aquifer ticket NAME');
  const key = input.text('for');
  const addresses = input.texts('address');
  const expires = expirySeconds(input.text('expires'));
  const body = {
    namespace: input.text('namespace') ?? 'default',
    name: name.replace(/^(vgpuclaims?|vgpu)\//, ''),
    ...(key === undefined ? {} : { for: key }),
    ...(expires === undefined ? {} : { expiresSeconds: expires }),
    ...(addresses.length === 0 ? {} : { addresses }),
  };
  const reply = await console.api.call({ method: 'POST', path: '/tickets', body });
  console.out(`${JSON.stringify(reply.body, undefined, 2)}\n`);
  return 0;
}

/** The value of --expires. */
export function expirySeconds(said: string | undefined): number | undefined {
  if (said === undefined) return undefined;
  const ms = parseDuration(said);
  if (ms === undefined || ms < 1000) {
    throw new UsageError(`invalid argument ${JSON.stringify(said)} for --expires: a time of at least 1s, such as 10m`);
  }
  return Math.floor(ms / 1000);
}
