import { SCHEDULING_GATE, type Affinity, type Pod, type Requirement, type SelectorTerm } from '../../api/pod.ts';
import type { MergePatch } from '../../runtime/store.ts';

const LOCAL_WEIGHT = 100; // The most that a preference can weigh: on the GPU's own node nothing crosses the network.

export interface Places {
  /** The nodes of its vGPUs. */
  readonly nodes: readonly string[];
  /** Whether it has to run there. */
  readonly bound: boolean;
}

/** Lets a pod be scheduled, on a node of its vGPUs or best there. A patch merges objects and replaces lists. */
export function ungatePatch({ spec }: Pod, { nodes, bound }: Places): MergePatch {
  const schedulingGates = (spec.schedulingGates ?? []).filter(({ name }) => name !== SCHEDULING_GATE);
  const affinity = bound ? requiring(spec.affinity, nodes) : preferring(spec.affinity, nodes);
  return { spec: { schedulingGates, affinity } };
}

const onNode = (nodes: readonly string[]): Requirement => ({
  key: 'metadata.name',
  operator: 'In',
  values: nodes.slice(0, 1),
});

/** Each term is another way to be let in, so each gets it; but an empty one lets in nobody and must stay as it is. */
function requiring(affinity: Affinity | undefined, nodes: readonly string[]): Affinity {
  const { nodeSelectorTerms = [] } = affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? {};
  const narrowed = nodeSelectorTerms.map((term): SelectorTerm =>
    Object.keys(term).length === 0 ? term : { ...term, matchFields: [...(term.matchFields ?? []), onNode(nodes)] },
  );
  const terms = narrowed.length === 0 ? [{ matchFields: [onNode(nodes)] }] : narrowed;
  return {
    ...affinity,
    nodeAffinity: {
      ...affinity?.nodeAffinity,
      requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: terms },
    },
  };
}

function preferring(affinity: Affinity | undefined, nodes: readonly string[]): Affinity {
  const preferred = affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
  const here = { matchFields: [onNode(nodes)] };
  return {
    ...affinity,
    nodeAffinity: {
      ...affinity?.nodeAffinity,
      preferredDuringSchedulingIgnoredDuringExecution: [...preferred, { weight: LOCAL_WEIGHT, preference: here }],
    },
  };
}
