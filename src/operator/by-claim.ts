import type { Change } from '../runtime/informer.ts';

/** Which objects are about which claim, so that a change of a claim wakes those and no others. */
export class ByClaim<T> {
  readonly #claimsOf: (object: T) => readonly string[];
  readonly #objects = new Map<string, Set<string>>();

  /** `claimsOf`: the keys of the claims that an object is about. */
  constructor(claimsOf: (object: T) => readonly string[]) {
    this.#claimsOf = claimsOf;
  }

  observe({ key, before, after }: Change<T>): void {
    if (before !== undefined) for (const claim of this.#claimsOf(before)) this.#drop(claim, key);
    if (after === undefined) return;
    for (const claim of this.#claimsOf(after))
      this.#objects.set(claim, (this.#objects.get(claim) ?? new Set()).add(key));
  }

  /** Keys of objects, by key of the claim. */
  of(claim: string): Iterable<string> {
    return this.#objects.get(claim) ?? [];
  }

  #drop(claim: string, key: string): void {
    const keys = this.#objects.get(claim);
    if (keys?.delete(key) === true && keys.size === 0) this.#objects.delete(claim);
  }
}
