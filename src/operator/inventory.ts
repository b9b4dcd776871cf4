import type { GPUNode, GPUPool, VGPUClaim } from '../api/kinds.ts';
import {
  gpuAt,
  place,
  promise,
  release,
  snapshotOf,
  type Allocation,
  type NodeFacts,
  type PoolFacts,
  type Snapshot,
} from '../core/allocation/snapshot.ts';
import { jsonEqual } from '../lib/json-equal.ts';
import type { Change } from '../runtime/informer.ts';
import { conditionOf } from './condition.ts';
import { allocationsOf, nodeFacts, poolFacts } from './facts.ts';
import { compareHolds, type Conflict, type Hold } from './hold.ts';

export interface Amounts {
  readonly memoryBytes: number;
  readonly computePercent: number;
}

/** What is promised of one GPU. */
export interface Promised extends Amounts {
  readonly claims: number;
}

const NOTHING: Amounts = { memoryBytes: 0, computePercent: 0 };

/** What a change of the store means for others: `Capacity`: GPUs or policies changed; `Released`: a share came back. */
export type Effect = 'None' | 'Capacity' | 'Released';

/**
 * The one account of what is promised, in memory, rebuilt from the statuses of the claims. It learns of claims in the
 * order of their writes and from nowhere else: a hold whose write is in doubt stays until the claim is read anew. Every
 * bind is conditional on the version that it was decided on, so once a newer version without allocations is read, the
 * write cannot land any more.
 */
export class Inventory {
  readonly #nodes = new Map<string, NodeFacts>();
  readonly #pools = new Map<string, PoolFacts>();
  readonly #holds = new Map<string, Hold>();
  readonly #holdsByGpu = new Map<string, Map<string, Hold>>();
  readonly #promisedByPool = new Map<string, Amounts>();
  #snapshot: Snapshot | undefined;

  /** The GPUs and what is promised of them, now. */
  snapshot(): Snapshot {
    this.#snapshot ??= snapshotOf(
      [...this.#nodes.values()],
      [...this.#pools.values()],
      this.#holds.values().flatMap((hold) => hold.allocations),
    );
    return this.#snapshot;
  }

  holdOf(claim: VGPUClaim): Hold | undefined {
    return this.#holds.get(claim.metadata.uid);
  }

  nodesOf(claimUid: string): readonly string[] {
    return [...new Set(this.#holds.get(claimUid)?.allocations.map(({ node }) => node))];
  }

  /** What the claims on one pool have. */
  promisedIn(pool: string): Amounts {
    return this.#promisedByPool.get(pool) ?? NOTHING;
  }

  promisedOf(node: string, gpu: string): Promised {
    const holds = [...(this.#holdsByGpu.get(place(node, gpu))?.values() ?? [])];
    const mine = holds.flatMap((hold) => hold.allocations.filter((a) => a.node === node && a.gpu === gpu));
    return {
      memoryBytes: mine.reduce((sum, a) => sum + a.memoryBytes, 0),
      computePercent: mine.reduce((sum, a) => sum + a.computePercent, 0),
      claims: holds.length,
    };
  }

  /** Holds these shares at once. Disposed unconfirmed, they stay held and in doubt until the claim is read anew. */
  assume(claim: VGPUClaim, allocations: readonly Allocation[]): Disposable & { confirm(): void } {
    const { uid: claimUid } = claim.metadata;
    const hold: Hold = { claimUid, pool: claim.spec.poolName, allocations, confirmed: false, boundAt: undefined };
    this.#hold(claimUid, hold);
    return {
      confirm: () => {
        // What was read meanwhile is newer than what the write's answer tells.
        if (this.#holds.get(claimUid) === hold) this.#hold(claimUid, { ...hold, confirmed: true });
      },
      [Symbol.dispose]: () => undefined,
    };
  }

  /** The claim's part in a promise of the same physical memory to several claims, if it is not among the earliest. */
  conflictOf(claim: VGPUClaim): Conflict | undefined {
    const own = this.holdOf(claim);
    if (own === undefined) return undefined;
    for (const { node, gpu } of own.allocations) {
      const memoryBytes = gpuAt(this.snapshot(), node, gpu)?.memoryBytes;
      if (memoryBytes === undefined || this.promisedOf(node, gpu).memoryBytes <= memoryBytes) continue;
      const holds = [...(this.#holdsByGpu.get(place(node, gpu))?.values() ?? [])];
      const earlier = holds.filter((hold) => compareHolds(hold, own) < 0);
      const [earlierBytes, ownBytes] = [bytesOn(earlier, node, gpu), bytesOn([own], node, gpu)];
      if (earlierBytes + ownBytes > memoryBytes) return { node, gpu, memoryBytes, earlierBytes, ownBytes };
    }
    return undefined;
  }

  observePool({ key, after }: Change<GPUPool>): Effect {
    return this.#replaceFacts(this.#pools, key, after && poolFacts(after));
  }

  observeNode({ key, after }: Change<GPUNode>): Effect {
    return this.#replaceFacts(this.#nodes, key, after && nodeFacts(after));
  }

  observeClaim({ before, after }: Change<VGPUClaim>): Effect {
    const gone = before !== undefined && before.metadata.uid !== after?.metadata.uid;
    const released = gone && this.#hold(before.metadata.uid, undefined);
    return (after !== undefined && this.#read(after)) || released ? 'Released' : 'None';
  }

  /** Takes over what the claim's status says; returns whether something came back by that. */
  #read(claim: VGPUClaim): boolean {
    const { uid: claimUid } = claim.metadata;
    const allocations = allocationsOf(claim);
    if (allocations.length === 0) return this.#hold(claimUid, undefined);
    const boundAt = conditionOf(claim.status?.conditions, 'Bound')?.lastTransitionTime;
    this.#hold(claimUid, { claimUid, pool: claim.spec.poolName, allocations, confirmed: true, boundAt });
    return false;
  }

  /** Replaces a hold; returns whether there was one before. */
  #hold(claimUid: string, next: Hold | undefined): boolean {
    const before = this.#holds.get(claimUid);
    if (before !== undefined) this.#drop(before);
    if (next !== undefined) this.#add(next);
    const [old, now] = [before?.allocations ?? [], next?.allocations ?? []];
    if (this.#snapshot !== undefined && !jsonEqual(old, now)) {
      this.#snapshot = promise(release(this.#snapshot, old), now);
    }
    return before !== undefined;
  }

  #drop({ claimUid, pool, allocations }: Hold): void {
    this.#holds.delete(claimUid);
    this.#count(pool, allocations, -1);
    for (const { node, gpu } of allocations) this.#holdsByGpu.get(place(node, gpu))?.delete(claimUid);
  }

  #add(hold: Hold): void {
    this.#holds.set(hold.claimUid, hold);
    this.#count(hold.pool, hold.allocations, 1);
    for (const { node, gpu } of hold.allocations) {
      const holds = this.#holdsByGpu.get(place(node, gpu)) ?? new Map<string, Hold>();
      this.#holdsByGpu.set(place(node, gpu), holds.set(hold.claimUid, hold));
    }
  }

  #count(pool: string, allocations: readonly Allocation[], sign: 1 | -1): void {
    let { memoryBytes, computePercent } = this.promisedIn(pool);
    for (const allocation of allocations) {
      memoryBytes += sign * allocation.memoryBytes;
      computePercent += sign * allocation.computePercent;
    }
    if (memoryBytes === 0 && computePercent === 0) this.#promisedByPool.delete(pool);
    else this.#promisedByPool.set(pool, { memoryBytes, computePercent });
  }

  #replaceFacts<T>(facts: Map<string, T>, name: string, next: T | undefined): Effect {
    if (jsonEqual(facts.get(name), next)) return 'None';
    if (next === undefined) facts.delete(name);
    else facts.set(name, next);
    this.#snapshot = undefined;
    return 'Capacity';
  }
}

const bytesOn = (holds: readonly Hold[], node: string, gpu: string): number =>
  holds
    .flatMap((hold) => hold.allocations.filter((a) => a.node === node && a.gpu === gpu))
    .reduce((sum, a) => sum + a.memoryBytes, 0);
