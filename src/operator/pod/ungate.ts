import { SCHEDULING_GATE, type Affinity, type Pod } from '../../api/pod.ts';
import type { MergePatch } from '../../runtime/store.ts';

const LOCAL_WEIGHT = 100; // The most that a preference can weigh: on the GPU's own node nothing crosses the network.

/** Lets a pod be scheduled, best on a node of its vGPUs. A patch merges objects and replaces lists. */
export function ungatePatch({ spec }: Pod, nodes: readonly string[]): MergePatch {
  const schedulingGates = (spec.schedulingGates ?? []).filter(({ name }) => name !== SCHEDULING_GATE);
  return { spec: { schedulingGates, affinity: preferring(spec.affinity, nodes) } };
}

function preferring(affinity: Affinity | undefined, nodes: readonly string[]): Affinity {
  const preferred = affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
  const here = { matchFields: [{ key: 'metadata.name', operator: 'In', values: nodes.slice(0, 1) }] };
  return {
    ...affinity,
    nodeAffinity: {
      ...affinity?.nodeAffinity,
      preferredDuringSchedulingIgnoredDuringExecution: [...preferred, { weight: LOCAL_WEIGHT, preference: here }],
    },
  };
}
