import type { Kinds } from '../api/kinds.ts';
import type { Clock } from '../lib/clock.ts';
import { jsonEqual } from '../lib/json-equal.ts';
import type { Log } from '../lib/log.ts';
import { isStoreError, type Store } from '../runtime/store.ts';
import { mergeInventory, type Gpu } from './gpu.ts';
import { agentStatus, publishedGpus, type Agent } from './node-status.ts';

type Labels = Readonly<Record<string, string>>;

export interface NodeReporterDeps {
  readonly store: Store<Kinds>;
  readonly clock: Clock;
  readonly node: string;
  /** What pools select the node by. */
  readonly labels: () => Promise<Labels>;
  readonly agent: Agent;
  readonly inventory: () => Promise<readonly Gpu[]>;
  readonly intervalMs: number;
  readonly log: Log;
}

export interface NodeReporter extends AsyncDisposable {
  /** The GPUs as they were last seen. */
  readonly gpus: () => readonly Gpu[];
  /** Why the last report was not made, if it was not. */
  readonly trouble: () => string | undefined;
}

/**
 * Looks at the GPUs every `intervalMs` and publishes them as the agent's part of the node's GPUNode. It has looked once
 * when this returns, and tried to report. A store that fails is tried again at the next beat.
 */
export async function startNodeReporter(deps: NodeReporterDeps): Promise<NodeReporter> {
  const { store, clock, node, labels, agent, intervalMs, log } = deps;
  let gpus: readonly Gpu[] = [];
  let published: Labels | undefined;
  let trouble: string | undefined;
  let timer: Disposable | undefined;
  let stopped = false;

  const look = looking(deps);
  const report = async (): Promise<void> => {
    const seen = await look();
    gpus = mergeInventory(gpus, seen);
    if (stopped) return;
    if (published === undefined) {
      const before = await store.get('GPUNode', { name: node });
      gpus = mergeInventory([...gpus, ...missingFrom(gpus, publishedGpus(before))], seen);
      published = {}; // Labels that others gave the GPUNode are theirs.
    }
    const wanted = await labels();
    await publish(store, { node, labels: wanted, before: published }, agentStatus(agent, gpus, clock.now()));
    published = wanted;
  };

  const beat = async (): Promise<void> => {
    try {
      await report();
      trouble = undefined;
    } catch (err) {
      trouble = err instanceof Error ? err.message : String(err);
      log.warn('node not reported', { node, err });
    }
  };

  let beating = beat();
  await beating;

  const schedule = (): void => {
    if (stopped) return;
    timer = clock.after(intervalMs, () => {
      beating = beat().finally(schedule);
    });
  };
  schedule();

  return {
    gpus: () => gpus,
    trouble: () => trouble,
    async [Symbol.asyncDispose]() {
      stopped = true;
      timer?.[Symbol.dispose]();
      await beating;
    },
  };
}

/** Asks for the inventory; undefined when nobody could look, which is logged once for each way to fail. */
function looking({ inventory, node, log }: NodeReporterDeps): () => Promise<readonly Gpu[] | undefined> {
  let failure = '';
  return async () => {
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
}

const missingFrom = (gpus: readonly Gpu[], others: readonly Gpu[]): readonly Gpu[] =>
  others.filter(({ uuid }) => gpus.every((gpu) => gpu.uuid !== uuid));

interface Named {
  readonly node: string;
  readonly labels: Labels;
  readonly before: Labels;
}

/** Writes the agent's part of the status, and makes the GPUNode where there is none. */
async function publish(
  store: Store<Kinds>,
  { node, labels, before }: Named,
  status: ReturnType<typeof agentStatus>,
): Promise<void> {
  const key = { name: node };
  try {
    if (!jsonEqual(labels, before))
      await store.patch('GPUNode', key, { metadata: { labels: changed(before, labels) } });
    await store.patch('GPUNode', key, { status }, { subresource: 'status' });
  } catch (error) {
    if (!isStoreError(error, 'NotFound')) throw error;
    await store.create('GPUNode', { metadata: { name: node, labels } });
    await store.patch('GPUNode', key, { status }, { subresource: 'status' });
  }
}

/** As a merge patch: labels that the node has no more are taken away. */
const changed = (before: Labels, labels: Labels): Readonly<Record<string, string | null>> => ({
  ...Object.fromEntries(Object.keys(before).map((name) => [name, null])),
  ...labels,
});
