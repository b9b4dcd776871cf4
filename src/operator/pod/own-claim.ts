import { createHash } from 'node:crypto';
import type { VGPUClaim } from '../../api/kinds.ts';
import type { Pod } from '../../api/pod.ts';
import { formatBytes } from '../../api/quantity.ts';
import { RELEASE_FINALIZER } from '../../api/vgpu-claim.ts';
import type { Draft } from '../../runtime/store.ts';
import type { SliceShare } from '../../core/allocation/slices.ts';
import type { OwnSpec, SliceAsk } from './ask.ts';

const NAME_PART = 54; // With the hash 63 characters, as long as names of claims may be.

/** The name of the claim that is made for a pod: another pod of the same name has another. */
export function ownClaimName({ metadata: { name, uid } }: Pod): string {
  const hash = createHash('sha256').update(uid).digest('hex').slice(0, 8);
  return `${name.slice(0, NAME_PART).replace(/[^a-z0-9]+$/, '')}-${hash}`;
}

type SliceSpec = ReturnType<typeof sliceSpec>;

/** Slices as the claim has them: sized as parts of a GPU of the node where it has to be. */
export const sliceSpec = ({ poolName, count }: SliceAsk, { node, memoryBytes, computePercent }: SliceShare) => ({
  poolName,
  resources: { memory: formatBytes(memoryBytes), compute: computePercent },
  access: 'Local',
  slices: { count, nodeName: node },
});

/** Kubernetes deletes it when the pod is gone. It is guarded from the start: one write less until the pod may run. */
export function ownClaimDraft(pod: Pod, spec: OwnSpec | SliceSpec): Draft {
  const { name, namespace, uid } = pod.metadata;
  const owner = { apiVersion: 'v1', kind: 'Pod', name, uid, controller: true, blockOwnerDeletion: true };
  const metadata = { name: ownClaimName(pod), namespace, ownerReferences: [owner], finalizers: [RELEASE_FINALIZER] };
  return { metadata, spec };
}

export const isOwnClaim = (claim: VGPUClaim, { metadata: { uid } }: Pod): boolean =>
  claim.metadata.ownerReferences?.some((owner) => owner.uid === uid) === true;
