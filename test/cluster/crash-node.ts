import { eventually } from '../support/eventually.ts';
import type { Cluster } from './cluster.ts';
import type { NodeName } from './topology.ts';

const LONG_MS = 120_000;

/** A node without power. Its disk and its /run are as they were. */
export interface DeadNode {
  startAgain(): Promise<void>;
}

/** Cuts a node off, so that nobody is told, and kills all that runs there. */
export async function crashNode(cluster: Cluster, node: NodeName): Promise<DeadNode> {
  const link = (state: 'up' | 'down') => cluster.enter('control-plane', ['ip', 'link', 'set', `v-${node}`, state]);
  await link('down');
  await cluster.enter(node, ['sh', '-c', 'kill -9 -1']); // All of its pid namespace but the init, and this shell.
  return {
    async startAgain() {
      await link('up');
      await cluster.start(node, 'containerd');
      // Kubelet ends where there is no container runtime.
      const answers = (): Promise<boolean> =>
        cluster.enter(node, ['ctr', 'version']).then(
          () => true,
          () => false,
        );
      await eventually(answers, Boolean, LONG_MS);
      for (const component of ['kubelet', 'kube-proxy']) await cluster.start(node, component);
    },
  };
}
