import { POD_ANNOTATIONS, type Pod } from '../../api/pod.ts';
import type { PodFacts } from '../node-api/ports.ts';
import { askOf, asksForSlices, containersWithSlices, longRunning } from './ask.ts';
import { ownClaimName } from './own-claim.ts';

/** What the agent of a pod's node may know of it: which of its containers use which claim. */
export function podFacts(pod: Pod): PodFacts {
  const { uid, annotations = {} } = pod.metadata;
  const claim = claimOf(pod);
  const listed = annotations[POD_ANNOTATIONS.containers]?.split(',');
  const names = asksForSlices(pod)
    ? containersWithSlices(pod)
    : longRunning(pod).filter((name) => listed?.includes(name) ?? true);
  return {
    uid,
    node: pod.spec.nodeName,
    claims: new Map(claim === undefined ? [] : names.map((name) => [name, claim])),
  };
}

function claimOf(pod: Pod): string | undefined {
  const ask = askOf(pod);
  if (!ask.ok || ask.value.kind === 'Nothing') return undefined;
  return ask.value.kind === 'Claim' ? ask.value.name : ownClaimName(pod);
}
