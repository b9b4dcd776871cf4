import { POD_ANNOTATIONS, type Pod } from '../../api/pod.ts';
import type { Change } from '../../runtime/informer.ts';
import { ownClaimName } from './own-claim.ts';

/** Which pods wait for which claim, so that a change of a claim wakes those and no others. */
export class PodsOfClaims {
  readonly #pods = new Map<string, Set<string>>();

  observe({ key, before, after }: Change<Pod>): void {
    if (before !== undefined) for (const claim of claimsOf(before)) this.#drop(claim, key);
    if (after === undefined) return;
    for (const claim of claimsOf(after)) this.#pods.set(claim, (this.#pods.get(claim) ?? new Set()).add(key));
  }

  /** Keys of pods, by key of the claim. */
  of(claim: string): Iterable<string> {
    return this.#pods.get(claim) ?? [];
  }

  #drop(claim: string, pod: string): void {
    const pods = this.#pods.get(claim);
    if (pods?.delete(pod) === true && pods.size === 0) this.#pods.delete(claim);
  }
}

/** The claim that it names and the one that may be made for it. */
function claimsOf(pod: Pod): readonly string[] {
  const { namespace, annotations = {} } = pod.metadata;
  const named = annotations[POD_ANNOTATIONS.claim];
  return [ownClaimName(pod), ...(named === undefined ? [] : [named])].map((name) => `${namespace}/${name}`);
}
