import { randomBytes } from 'node:crypto';
import { clusterKinds, type TicketRequest, type TicketRequestKinds } from '../../api/cluster-kinds.ts';
import type { Kinds } from '../../api/kinds.ts';
import { API_GROUP, API_VERSION } from '../../api/meta.ts';
import type { Connection } from '../../kube/connection.ts';
import { clusterResources } from '../../kube/resource.ts';
import { kubeStore } from '../../kube/store.ts';
import type { Clock } from '../../lib/clock.ts';
import { sleep } from '../../runtime/sleep.ts';
import { isStoreError, StoreError, type Store } from '../../runtime/store.ts';
import { CommandError } from '../failure.ts';

const MANAGER = 'kubectl-aquifer';
const PAUSE_MS = 1000; // A watch that ends sooner was refused.

export interface RequestOptions {
  readonly connection: Connection;
  readonly clock: Clock;
  readonly claim: { readonly namespace: string; readonly name: string };
  readonly holderKey: string;
  readonly expirationSeconds: number | undefined;
  /** Ends the wait for the answer. */
  readonly signal: AbortSignal;
  readonly warn: (line: string) => void;
}

/** Asks for a ticket and removes the request again. Undefined: there was no answer before `signal`. */
export async function askForTicket(options: RequestOptions): Promise<TicketRequest | undefined> {
  const { connection, clock, claim, holderKey, expirationSeconds: seconds } = options;
  // A name of our own: if the answer to its creation is lost, it can be removed all the same.
  const key = { namespace: claim.namespace, name: `${claim.name.slice(0, 40)}-${randomBytes(5).toString('hex')}` };
  const resources = { ...clusterResources, TicketRequest: { ...clusterResources.TicketRequest, only: key.name } };
  const store = kubeStore<Kinds & TicketRequestKinds>({ connection, clock, manager: MANAGER, resources });
  const { name, uid } = (await findClaim(store, claim)).metadata;
  const ownerReferences = [{ apiVersion: API_VERSION, kind: 'VGPUClaim', name, uid }];
  const spec = { claimName: name, holderKey, ...(seconds === undefined ? {} : { expirationSeconds: seconds }) };
  try {
    await store.create('TicketRequest', { metadata: { ...key, ownerReferences }, spec }).catch(mayBeMissing);
  } catch (error) {
    if (isStoreError(error, 'Unknown')) await remove(store, key, options.warn);
    throw error;
  }
  try {
    return await answerTo(store, key, options);
  } finally {
    await remove(store, key, options.warn);
  }
}

type Requests = Store<Kinds & TicketRequestKinds>;

async function findClaim(store: Requests, claim: RequestOptions['claim']) {
  const found = await store.get('VGPUClaim', claim);
  if (found !== undefined) return found;
  // A cluster without our kinds says the same: ask it what it would say otherwise.
  await store.list('TicketRequest', claim).catch(mayBeMissing);
  throw new CommandError(`there is no claim ${claim.name} in namespace ${claim.namespace}`);
}

/** A collection that is not found is a kind that the cluster does not know. */
function mayBeMissing(error: unknown): never {
  if (!isStoreError(error, 'NotFound')) throw error;
  const name = `${clusterKinds.TicketRequest.plural}.${API_GROUP}`;
  throw new CommandError(`the cluster does not know ${name}: is Aquifer installed, in this version or a later one?`);
}

/** Reads the request and follows it, as often as that takes. */
async function answerTo(
  store: Requests,
  { namespace, name }: RequestOptions['claim'],
  { clock, signal }: RequestOptions,
): Promise<TicketRequest | undefined> {
  while (!signal.aborted) {
    const { items, resourceVersion } = await store.list('TicketRequest', { namespace });
    const startedMs = clock.now().getTime();
    const follow = store.watch('TicketRequest', { namespace, resourceVersion, signal });
    try {
      const answered = items[0] === undefined ? gone(name) : await firstAnswer(items[0], follow);
      if (answered !== undefined) return answered;
    } catch (error) {
      // Connections are cut; what is refused is so at once.
      if (!(error instanceof StoreError) || clock.now().getTime() - startedMs < PAUSE_MS) throw error;
    }
    await sleep(clock, PAUSE_MS, signal);
  }
  return undefined;
}

async function firstAnswer(
  first: TicketRequest,
  changes: ReturnType<Requests['watch']>,
): Promise<TicketRequest | undefined> {
  if (first.status !== undefined) return first;
  for await (const { type, object } of changes) {
    if (type === 'BOOKMARK') continue;
    const request = object as TicketRequest;
    if (type === 'DELETED') gone(request.metadata.name);
    if (request.status !== undefined) return request;
  }
  return undefined;
}

function gone(name: string): never {
  throw new CommandError(`ticketrequest ${name} was deleted before it was answered: was the claim deleted?`);
}

async function remove(store: Requests, key: RequestOptions['claim'], warn: RequestOptions['warn']): Promise<void> {
  try {
    await store.delete('TicketRequest', key);
  } catch (error) {
    if (isStoreError(error, 'NotFound')) return;
    const why = error instanceof Error ? error.message : String(error);
    warn(`warning: ticketrequest ${key.name} is left behind, until the operator removes it: ${why}`);
  }
}
