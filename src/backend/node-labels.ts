import { z } from 'zod';
import type { Connection } from '../kube/connection.ts';
import type { Clock } from '../lib/clock.ts';

const nodeSchema = z.object({ metadata: z.object({ labels: z.record(z.string(), z.string()).default({}) }) });

/** Labels of nodes change by hand. Kubelet's Lease and not its labels say whether a node lives. */
const READ_AGAIN_MS = 60_000;

type Labels = Readonly<Record<string, string>>;

/** The labels of the Node, by which pools select the GPUNode of the same name; read once a minute. */
export function nodeLabels(connection: Pick<Connection, 'call'>, node: string, clock: Clock): () => Promise<Labels> {
  let known: { readonly labels: Labels; readonly atMs: number } | undefined;
  return async () => {
    const nowMs = clock.monotonicMs();
    if (known === undefined || nowMs - known.atMs >= READ_AGAIN_MS) {
      const path = `/api/v1/nodes/${encodeURIComponent(node)}`;
      const read = nodeSchema.parse(await connection.call({ method: 'GET', path }));
      known = { labels: read.metadata.labels, atMs: nowMs };
    }
    return known.labels;
  };
}
