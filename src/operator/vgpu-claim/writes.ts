import type { Kinds, VGPUClaim } from '../../api/kinds.ts';
import { RELEASE_FINALIZER } from '../../api/vgpu-claim.ts';
import { isStoreError, keyOf, type Store } from '../../runtime/store.ts';
import { statusPatch } from '../status-patch.ts';
import type { ClaimDeps } from './controller.ts';

/** The writes of the claim controller, each conditional on the version of the claim that it was decided on. */
export function claimWrites(store: Pick<Store<Kinds>, 'patch'>): ClaimDeps['claims'] {
  const setFinalizers = async (claim: VGPUClaim, finalizers: readonly string[]): Promise<void> => {
    const { resourceVersion } = claim.metadata;
    await store.patch('VGPUClaim', keyOf(claim), { metadata: { finalizers } }, { resourceVersion });
  };
  return {
    async patchStatus(claim, status) {
      const patch = statusPatch(claim.status, status);
      if (patch === undefined) return false;
      const { resourceVersion } = claim.metadata;
      await store.patch('VGPUClaim', keyOf(claim), patch, { subresource: 'status', resourceVersion });
      return true;
    },
    addFinalizer: (claim) => setFinalizers(claim, [...(claim.metadata.finalizers ?? []), RELEASE_FINALIZER]),
    async removeFinalizer(claim) {
      const others = (claim.metadata.finalizers ?? []).filter((name) => name !== RELEASE_FINALIZER);
      try {
        await setFinalizers(claim, others);
      } catch (error) {
        if (!isStoreError(error, 'NotFound')) throw error; // It went with an earlier try.
      }
    },
  };
}
