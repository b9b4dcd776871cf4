import type { TicketRequest } from '../../api/cluster-kinds.ts';
import type { VGPUClaim } from '../../api/kinds.ts';
import { API_VERSION } from '../../api/meta.ts';
import { gatewayAddressSchema, ticketFileSchema, type TicketFile } from '../../api/ticket-file.ts';
import { ISSUED } from '../../api/ticket-request.ts';
import { ed25519KeySchema } from '../../api/ticket.ts';
import { connect, type Connection } from '../../kube/connection.ts';
import { loadKubeConfig, namespaceOf } from '../../kube/load-config.ts';
import { kindResources, objectPath } from '../../kube/resource.ts';
import type { Clock } from '../../lib/clock.ts';
import { CommandError, UsageError } from '../failure.ts';
import { expirySeconds } from '../ticket.ts';
import type { Console, Input } from '../verb.ts';
import { timeoutOf } from '../wait.ts';
import { askForTicket } from './ticket-request.ts';

export type KubectlConsole = Pick<Console, 'out' | 'err' | 'signal'> & { readonly clock: Clock };

/** Prints the ticket. @throws UsageError, CommandError, StoreError */
export async function runTicket(input: Input, { out, err, signal, clock }: KubectlConsole): Promise<void> {
  const wish = wishOf(input);
  const loadConfig = () => loadKubeConfig(input.text('kubeconfig'), input.text('context'));
  const claim = { name: wish.name, namespace: input.text('namespace') ?? namespaceOf(loadConfig()) };
  using connection = connect({ loadConfig, clock });
  const ending = new AbortController();
  using _ = wish.timeoutMs === 0 ? undefined : clock.after(wish.timeoutMs, () => ending.abort());
  const request = await askForTicket({
    connection,
    clock,
    claim,
    holderKey: wish.holderKey,
    expirationSeconds: wish.expirationSeconds,
    signal: AbortSignal.any([signal, ending.signal]),
    warn: err,
  });
  if (request === undefined && signal.aborted) throw new CommandError('interrupted');
  if (request === undefined) throw new CommandError(await whyNone(connection, claim, input.text('timeout') ?? ''));
  out(`${JSON.stringify(fileOf(request, wish.addresses), undefined, 2)}\n`);
}

function wishOf(input: Input) {
  const [word, ...more] = input.args;
  if (word === undefined || more.length > 0) {
    throw new UsageError('exactly one claim is needed: kubectl aquifer ticket NAME');
  }
  const key = ed25519KeySchema.safeParse(input.text('for'));
  if (!key.success) {
    const hint = 'give the key that `aquifer-connector key` prints where the claim is to be used';
    throw new UsageError(`--for KEY is needed, 43 characters of base64url: ${hint}`);
  }
  const addresses = input.texts('address');
  for (const address of addresses) {
    const { error } = gatewayAddressSchema.safeParse(address);
    if (error) throw new UsageError(`invalid argument ${JSON.stringify(address)} for --address: ${messageOf(error)}`);
  }
  return {
    name: word.replace(/^(vgpuclaims?|vgpu)([.]aquifer[.]dev)?\//, ''),
    holderKey: key.data,
    addresses,
    expirationSeconds: expirySeconds(input.text('expires')),
    timeoutMs: timeoutOf(input),
  };
}

const messageOf = ({ issues }: { readonly issues: readonly { readonly message: string }[] }): string =>
  issues[0]?.message ?? '';

/** What stood in the way of an answer: the claim itself, or else those who should have given it. */
async function whyNone(connection: Connection, claim: { namespace: string; name: string }, waited: string) {
  const path = objectPath(kindResources.VGPUClaim, claim);
  const { status } = (await connection.call({ method: 'GET', path })) as VGPUClaim;
  if (status?.phase !== 'Bound') {
    const why = status?.conditions?.find(({ type }) => type === 'Bound')?.message;
    const state = `${status?.phase ?? 'Pending'}${why === undefined ? '' : `: ${why}`}`;
    return `no ticket within ${waited}: claim ${claim.name} is ${state}. A longer --timeout waits for it`;
  }
  const look = 'kubectl get pods -A -l app.kubernetes.io/name=aquifer,app.kubernetes.io/component=operator';
  return `the operator did not answer within ${waited}: is it running? Look with "${look}"`;
}

function fileOf({ metadata, spec, status }: TicketRequest, addresses: readonly string[]): TicketFile {
  const { ticket, ca, endpoints = [], conditions = [] } = status ?? {};
  if (ticket === undefined) {
    const { reason, message } = conditions.find(({ type }) => type === ISSUED) ?? {};
    throw new CommandError(`${message ?? 'the request was answered without a word'} (${reason ?? 'Unknown'})`);
  }
  // All vGPUs of a claim are on one node.
  const [own] = endpoints;
  const reached = addresses.length === 0 ? endpoints : addresses.map((address) => ({ node: own?.node, address }));
  const file = ticketFileSchema.safeParse({
    apiVersion: API_VERSION,
    kind: 'Ticket',
    metadata: { name: spec.claimName, namespace: metadata.namespace },
    ca,
    endpoints: reached,
    ticket,
  });
  if (file.success) return file.data;
  throw new CommandError('the node of the vGPUs does not say where its gateway listens: is its agent up?');
}
