import { join } from 'node:path';
import type { Kinds } from '../api/kinds.ts';
import type { TicketFile } from '../api/ticket-file.ts';
import { textField } from '../ipc/json-lines.ts';
import type { ReconnectingClient } from '../ipc/reconnecting-client.ts';
import type { Log } from '../lib/log.ts';
import { StoreError, type Key, type Store } from '../runtime/store.ts';

export interface LocalOffersDeps {
  readonly connector: ReconnectingClient;
  readonly store: Store<Kinds>;
  readonly log: Log;
  /** Where the session sockets lie. */
  readonly directory: string;
  /** A ticket bound to the connector's key, for use on this host. */
  readonly ticketFor: (claim: Key, holderKey: string) => TicketFile;
}

/** The session sockets of this host, one for each claim that somebody ran a program on. */
export interface LocalOffers extends AsyncDisposable {
  /** Offers the claim to programs of this host. @throws ApiFailure if it has no vGPUs. */
  offer(claim: Key): Promise<string>;
}

/** Offers claims through the connector, and withdraws them when they are gone. */
export function localOffers(deps: LocalOffersDeps): LocalOffers {
  const { connector, store, log, directory } = deps;
  const stopping = new AbortController();
  const pathOf = ({ namespace = '', name }: Key): string => join(directory, `${namespace}.${name}.sock`);

  const withdraw = async (claim: Key): Promise<void> => {
    const client = await connector.get();
    await client.request('withdraw', { socketPath: pathOf(claim) });
  };
  const following = followDeletions(store, stopping.signal, (claim) =>
    withdraw(claim).catch((err: unknown) => log.warn('session socket not withdrawn', { object: claim.name, err })),
  ).catch((err: unknown) => log.error('claims not followed', { err }));

  return {
    async offer(claim) {
      const client = await connector.get();
      const socketPath = pathOf(claim);
      const ticketFile = deps.ticketFor(claim, textField(client.greeting, 'key'));
      await client.request('offer', { socketPath, mode: '0600', ticketFile });
      return socketPath;
    },
    async [Symbol.asyncDispose]() {
      stopping.abort();
      await following;
    },
  };
}

/** Tells of each claim that is deleted from now on. What was deleted before has a ticket that nobody renews. */
async function followDeletions(
  store: Store<Kinds>,
  signal: AbortSignal,
  deleted: (claim: Key) => Promise<void>,
): Promise<void> {
  const { resourceVersion } = await store.list('VGPUClaim');
  try {
    for await (const event of store.watch('VGPUClaim', { resourceVersion, signal })) {
      if (event.type === 'DELETED') await deleted(event.object.metadata);
    }
  } catch (error) {
    // It fell behind, and goes on from now.
    if (error instanceof StoreError && error.code === 'Expired') return followDeletions(store, signal, deleted);
    throw error;
  }
}
