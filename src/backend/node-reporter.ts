import type { GPUNode, Kinds } from '../api/kinds.ts';
import type { Clock } from '../lib/clock.ts';
import { jsonEqual } from '../lib/json-equal.ts';
import type { Log } from '../lib/log.ts';
import { mergePatch } from '../lib/merge-patch.ts';
import type { Pulse } from '../runtime/heartbeats.ts';
import type { Store } from '../runtime/store.ts';
import { mergeInventory, type Gpu } from './gpu.ts';
import { agentStatus, publishedGpus, type Agent } from './node-status.ts';

type Labels = Readonly<Record<string, string>>;

export interface NodeReporterDeps {
  readonly store: Store<Kinds>;
  readonly pulse: Pulse;
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
 * Looks at the GPUs every `intervalMs`, publishes what has changed of them as the agent's part of the node's GPUNode, and
 * beats. It has looked once when this returns, and tried to report. A store that fails is tried again at the next beat.
 * A node that cannot be published gives no beat: what its GPUNode says would not be true.
 */
export async function startNodeReporter(deps: NodeReporterDeps): Promise<NodeReporter> {
  const { store, pulse, clock, node, labels, agent, intervalMs, log } = deps;
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
    const there = await store.get('GPUNode', { name: node });
    if (published === undefined) {
      gpus = mergeInventory([...gpus, ...missingFrom(gpus, publishedGpus(there))], seen);
      published = {}; // Labels that others gave the GPUNode are theirs.
    }
    const wanted = await labels();
    await publish(store, { node, labels: wanted, before: published, there }, agentStatus(agent, gpus));
    published = wanted;
    await pulse.beat();
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

interface Published {
  readonly node: string;
  readonly labels: Labels;
  /** The labels that we gave it before. */
  readonly before: Labels;
  readonly there: GPUNode | undefined;
}

/** Writes what differs of the agent's part, and makes the GPUNode where there is none. */
async function publish(
  store: Store<Kinds>,
  { node, labels, before, there }: Published,
  status: ReturnType<typeof agentStatus>,
): Promise<void> {
  const key = { name: node };
  if (there === undefined) await store.create('GPUNode', { metadata: { name: node, labels } });
  else {
    const change = { ...Object.fromEntries(Object.keys(before).map((name) => [name, null])), ...labels };
    const has = there.metadata.labels ?? {};
    if (!jsonEqual(mergePatch(has, change), has)) await store.patch('GPUNode', key, { metadata: { labels: change } });
  }
  const { agent, gpus } = there?.status ?? {};
  if (!jsonEqual({ agent, gpus }, status)) await store.patch('GPUNode', key, { status }, { subresource: 'status' });
}
