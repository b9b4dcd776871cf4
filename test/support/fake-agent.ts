import type { GPUNode } from '../../src/api/kinds.ts';
import { leasePulse } from '../../src/kube/heartbeats.ts';
import type { Connection } from '../../src/kube/connection.ts';
import { kindResources } from '../../src/kube/resource.ts';
import { kubeStore } from '../../src/kube/store.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';

const BEAT_MS = 1000;

export interface FakeAgentOptions {
  readonly connection: Connection;
  readonly node: string;
  readonly gpus: NonNullable<GPUNode['status']>['gpus'];
  /** Where operators look for the Leases of agents. */
  readonly namespace: string;
}

/** Publishes a node's GPUs as its agent would, and renews its Lease until it is disposed. */
export async function startFakeAgent({ connection, node, gpus, namespace }: FakeAgentOptions): Promise<Disposable> {
  const clock = systemClock;
  const store = kubeStore({ connection, clock, manager: 'test', resources: kindResources });
  const status = { agent: { version: '1', endpoint: `${node}:9960` }, gpus };
  await store.create('GPUNode', { metadata: { name: node } });
  await store.patch('GPUNode', { name: node }, { status }, { subresource: 'status' });
  const pulse = leasePulse({ connection, clock, namespace, node });
  await pulse.beat();
  const timer = setInterval(() => void pulse.beat().catch(() => undefined), BEAT_MS);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
