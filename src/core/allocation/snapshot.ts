/** One GPU as its node reports it. */
export interface GpuFacts {
  readonly uuid: string;
  readonly model: string;
  readonly memoryBytes: number;
  readonly healthy: boolean;
}

export interface NodeFacts {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Its agent answers. */
  readonly ready: boolean;
  /** Where its gateway listens. */
  readonly endpoint?: string | undefined;
  readonly gpus: readonly GpuFacts[];
}

export interface PoolFacts {
  readonly name: string;
  /** Labels that a node must have; none: every node will do. */
  readonly matchLabels: Readonly<Record<string, string>>;
  readonly placement: 'Pack' | 'Spread';
  /** How much of each GPU may be promised. */
  readonly memoryPercent: number;
  readonly computePercent: number;
  readonly slicesPerGpu: number;
}

/** What one vGPU has been given. */
export interface Allocation {
  readonly vgpu: number;
  readonly node: string;
  readonly gpu: string;
  readonly memoryBytes: number;
  readonly computePercent: number;
  /** So many slices of the node's kubelet stand for it; none for most. */
  readonly slices?: number;
}

/** A GPU and the sum of what is promised of it. */
export interface GpuEntry extends GpuFacts {
  readonly node: string;
  readonly promisedBytes: number;
  readonly promisedPercent: number;
  /** The part of it that kubelet counts as slices. */
  readonly promisedSlices: number;
}

export interface NodeEntry {
  readonly name: string;
  readonly ready: boolean;
  readonly endpoint?: string | undefined;
  /** By UUID. */
  readonly gpus: readonly GpuEntry[];
}

export interface PoolEntry extends PoolFacts {
  /** Positions in `Snapshot.nodes`. */
  readonly nodes: readonly number[];
}

/**
 * All GPUs and what is promised of them at one moment. It never changes: a promise makes a new snapshot, which shares
 * all but one node with the old one.
 */
export interface Snapshot {
  /** By name. */
  readonly nodes: readonly NodeEntry[];
  readonly pools: ReadonlyMap<string, PoolEntry>;
  /** Where a GPU is: `place(node, gpu)` → positions of node and GPU. */
  readonly places: ReadonlyMap<string, readonly [node: number, gpu: number]>;
}

/** The snapshot of these nodes and pools under these promises; a promise on a GPU that is not there is left out. */
export function snapshotOf(
  nodes: readonly NodeFacts[],
  pools: readonly PoolFacts[],
  promised: Iterable<Allocation>,
): Snapshot {
  const sums = sumByGpu(promised);
  const sorted = nodes.toSorted((a, b) => order(a.name, b.name));
  const entries = sorted.map((node) => nodeEntry(node, sums));
  return {
    nodes: entries,
    pools: new Map(pools.map((pool) => [pool.name, { ...pool, nodes: membersOf(pool, sorted) }])),
    places: new Map(
      entries.flatMap((node, n) => node.gpus.map((gpu, g) => [place(node.name, gpu.uuid), [n, g]] as const)),
    ),
  };
}

/** The snapshot after these promises are made. */
export const promise = (snapshot: Snapshot, allocations: readonly Allocation[]): Snapshot =>
  changed(snapshot, allocations, 1);

/** The snapshot after these promises are given back. */
export const release = (snapshot: Snapshot, allocations: readonly Allocation[]): Snapshot =>
  changed(snapshot, allocations, -1);

/** The GPU of a node, if both are there. */
export function gpuAt(snapshot: Snapshot, node: string, uuid: string): GpuEntry | undefined {
  const at = snapshot.places.get(place(node, uuid));
  return at === undefined ? undefined : snapshot.nodes[at[0]]?.gpus[at[1]];
}

export function nodeAt(snapshot: Snapshot, name: string): NodeEntry | undefined {
  return snapshot.nodes.find((node) => node.name === name);
}

/** What may be promised of a GPU's memory in a pool, in bytes. */
export const memoryLimit = (pool: PoolFacts, gpu: GpuFacts): number =>
  pool.memoryPercent === 100 ? gpu.memoryBytes : Math.floor((gpu.memoryBytes * pool.memoryPercent) / 100);

/** Names a GPU among all nodes: two nodes may report one UUID while a card moves between them. */
export const place = (node: string, uuid: string): string => `${node}/${uuid}`;

function changed(snapshot: Snapshot, allocations: readonly Allocation[], sign: 1 | -1): Snapshot {
  let nodes = snapshot.nodes;
  for (const allocation of allocations) {
    const at = snapshot.places.get(place(allocation.node, allocation.gpu));
    const node = at && nodes[at[0]];
    const gpu = at && node?.gpus[at[1]];
    if (at === undefined || node === undefined || gpu === undefined) continue;
    const next = {
      ...gpu,
      promisedBytes: gpu.promisedBytes + sign * allocation.memoryBytes,
      promisedPercent: gpu.promisedPercent + sign * allocation.computePercent,
      promisedSlices: gpu.promisedSlices + sign * (allocation.slices ?? 0),
    };
    nodes = nodes.with(at[0], { ...node, gpus: node.gpus.with(at[1], next) });
  }
  return nodes === snapshot.nodes ? snapshot : { ...snapshot, nodes };
}

interface Sum {
  readonly bytes: number;
  readonly percent: number;
  readonly slices: number;
}

const NOTHING: Sum = { bytes: 0, percent: 0, slices: 0 };

function sumByGpu(promised: Iterable<Allocation>): ReadonlyMap<string, Sum> {
  const sums = new Map<string, Sum>();
  for (const { node, gpu, memoryBytes, computePercent, slices: more = 0 } of promised) {
    const key = place(node, gpu);
    const { bytes, percent, slices } = sums.get(key) ?? NOTHING;
    sums.set(key, { bytes: bytes + memoryBytes, percent: percent + computePercent, slices: slices + more });
  }
  return sums;
}

function nodeEntry({ name, ready, endpoint, gpus }: NodeFacts, sums: ReadonlyMap<string, Sum>): NodeEntry {
  const entries = gpus.map(({ uuid, model, memoryBytes, healthy }): GpuEntry => {
    const { bytes, percent, slices } = sums.get(place(name, uuid)) ?? NOTHING;
    const promised = { promisedBytes: bytes, promisedPercent: percent, promisedSlices: slices };
    return { node: name, uuid, model, memoryBytes, healthy, ...promised };
  });
  return { name, ready, endpoint, gpus: entries.toSorted((a, b) => order(a.uuid, b.uuid)) };
}

function membersOf(pool: PoolFacts, nodes: readonly NodeFacts[]): number[] {
  const wanted = Object.entries(pool.matchLabels);
  return nodes.flatMap(({ labels }, i) => (wanted.every(([key, value]) => labels[key] === value) ? [i] : []));
}

const order = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
