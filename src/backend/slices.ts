import type { Kinds } from '../api/kinds.ts';
import { reconnectingClient } from '../ipc/reconnecting-client.ts';
import type { Connection } from '../kube/connection.ts';
import { kindResources } from '../kube/resource.ts';
import { kubeStore } from '../kube/store.ts';
import type { Clock } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import { VERSION } from '../lib/version.ts';
import { Informer } from '../runtime/informer.ts';
import { slicePublisher, type SliceSupply } from './slice-publisher.ts';

export interface SlicesOptions {
  readonly connection: Connection;
  readonly node: string;
  /** Where the device plugin of the node listens. */
  readonly socket: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** The plugin asks kubelet what pods have before it answers. */
const PLUGIN_PATIENCE_MS = 10_000;

/**
 * Tells the device plugin what the operator says of this node's slices in its GPUNode, and the operator that kubelet knows.
 * Until the operator says anything: nothing.
 */
export function followSlices({ connection, node, socket, clock, log, signal }: SlicesOptions): AsyncDisposable {
  const path = { path: socket, name: 'backend', version: VERSION };
  const plugin = reconnectingClient({ ...path, timeoutMs: PLUGIN_PATIENCE_MS });
  let reported = Promise.resolve();
  const told = (supply: SliceSupply): void => {
    reported = reported.then(() => report(supply)); // In the order in which kubelet was told.
  };
  const publisher = slicePublisher({ plugin, told, clock, log });
  const resources = { ...kindResources, GPUNode: { ...kindResources.GPUNode, only: node } };
  const store = kubeStore<Kinds>({ connection, clock, manager: 'aquifer-node', resources });
  const informer = new Informer<Kinds, 'GPUNode'>({ store, kind: 'GPUNode', clock, log });
  /** One that fails is made good at the next repetition. */
  const report = async ({ capacity, withdrawn }: SliceSupply): Promise<void> => {
    const slicesOffered = capacity - withdrawn;
    if (informer.get(node)?.status?.slicesOffered === slicesOffered) return;
    const status = { slicesOffered };
    await store.patch('GPUNode', { name: node }, { status }, { subresource: 'status' }).catch((err: unknown) => {
      log.warn('number of slices not reported', { node, err });
    });
  };
  informer.onChange(({ after }) => {
    const slices = after?.status?.slices;
    if (slices !== undefined) publisher.publish(slices);
  });
  const stop = new AbortController();
  const following = informer.run(AbortSignal.any([signal, stop.signal]));
  return {
    async [Symbol.asyncDispose]() {
      stop.abort();
      await following;
      const stopped = publisher[Symbol.asyncDispose]();
      plugin[Symbol.dispose](); // An answer is not waited for.
      await stopped;
      await reported;
    },
  };
}
