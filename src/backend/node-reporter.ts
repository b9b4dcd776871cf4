import type { Kinds } from '../api/kinds.ts';
import type { Clock } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import { isStoreError, type Store } from '../runtime/store.ts';
import { mergeInventory, type Gpu } from './gpu.ts';
import { agentStatus, publishedGpus, type Agent } from './node-status.ts';

export interface NodeReporterDeps {
  readonly store: Store<Kinds>;
  readonly clock: Clock;
  readonly node: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly agent: Agent;
  readonly inventory: () => Promise<readonly Gpu[]>;
  readonly intervalMs: number;
  readonly log: Log;
}

export interface NodeReporter extends AsyncDisposable {
  /** The GPUs as last published. */
  readonly gpus: () => readonly Gpu[];
}

/**
 * Looks at the GPUs every `intervalMs` and publishes them as the agent's part of the node's GPUNode. The first report is
 * made before this returns. A store that fails is tried again at the next beat.
 */
export async function startNodeReporter(deps: NodeReporterDeps): Promise<NodeReporter> {
  const { store, clock, node, labels, agent, inventory, intervalMs, log } = deps;
  let gpus: readonly Gpu[] = publishedGpus(await store.get('GPUNode', { name: node }));
  let timer: Disposable | undefined;
  let stopped = false;
  let failure = '';

  const look = async (): Promise<readonly Gpu[] | undefined> => {
    try {
      const seen = await inventory();
      failure = '';
      return seen;
    } catch (err) {
      const message = err instanceof Error ? err.message : String(err);
      if (message !== failure) log.warn('GPU inventory failed', { node, err });
      failure = message;
      return undefined;
    }
  };

  const beat = async (): Promise<void> => {
    gpus = mergeInventory(gpus, await look());
    if (!stopped) await publish(store, { node, labels }, agentStatus(agent, gpus, clock.now()));
  };

  let beating = beat();
  await beating;

  const schedule = (): void => {
    if (stopped) return;
    timer = clock.after(intervalMs, () => {
      beating = beat()
        .catch((err: unknown) => log.warn('node not reported', { node, err }))
        .finally(schedule);
    });
  };
  schedule();

  return {
    gpus: () => gpus,
    async [Symbol.asyncDispose]() {
      stopped = true;
      timer?.[Symbol.dispose]();
      await beating;
    },
  };
}

type Named = { readonly node: string; readonly labels: Readonly<Record<string, string>> };

/** Writes the agent's part of the status, and makes the GPUNode where there is none. */
async function publish(
  store: Store<Kinds>,
  { node, labels }: Named,
  status: ReturnType<typeof agentStatus>,
): Promise<void> {
  const key = { name: node };
  try {
    await store.patch('GPUNode', key, { status }, { subresource: 'status' });
  } catch (error) {
    if (!isStoreError(error, 'NotFound')) throw error;
    await store.create('GPUNode', { metadata: { name: node, labels } });
    await store.patch('GPUNode', key, { status }, { subresource: 'status' });
  }
}
