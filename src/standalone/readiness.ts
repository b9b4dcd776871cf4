import { columnValue } from '../api/column-value.ts';
import type { GPUNode, Kinds } from '../api/kinds.ts';
import type { Store } from '../runtime/store.ts';

/** The node, once it is Ready. Follows it until then; `undefined` when the signal ends that. */
export async function readyNode(store: Store<Kinds>, name: string, signal: AbortSignal): Promise<GPUNode | undefined> {
  const { items, resourceVersion } = await store.list('GPUNode');
  const now = items.find((node) => node.metadata.name === name && isReady(node));
  if (now !== undefined) return now;
  for await (const event of store.watch('GPUNode', { resourceVersion, signal })) {
    if (event.type === 'BOOKMARK' || event.object.metadata.name !== name) continue;
    if (isReady(event.object)) return event.object;
  }
  return undefined;
}

const isReady = (node: GPUNode): boolean =>
  columnValue(node, '.status.conditions[?(@.type=="Ready")].status') === 'True';

/** One line for whoever started serve. */
export function readyLine(node: GPUNode, dataDir: string): string {
  const gpus = node.status?.gpus ?? [];
  const kinds = Object.entries(Object.groupBy(gpus, ({ model, memory }) => `${model} with ${memory}`));
  const list = kinds.map(([kind, of]) => `${of?.length ?? 0} x ${kind}`).join(', ');
  return `aquifer is ready: ${list} on node ${node.metadata.name}; data in ${dataDir}`;
}
