/** What of a node's slices can still be promised to pods, as the backend says. */
export interface SliceSupply {
  /** Slices that the GPUs of the node make. */
  readonly capacity: number;
  /** Slices' worth that is promised to claims which are not served by slices. */
  readonly withdrawn: number;
}

/** The slices as kubelet is told of them. Those withheld are shown unhealthy: part of the node, not to be had. */
export interface SliceList extends SliceSupply {
  /** Numbers of all slices, rising. More than the capacity where a pod has one that is gone. */
  readonly listed: readonly number[];
  readonly withheld: readonly number[];
}

export const NO_SLICES: SliceList = { capacity: 0, withdrawn: 0, listed: [], withheld: [] };

/**
 * The list for a supply. A slice that a pod has is never withheld nor taken off the list: kubelet would reject the pod for
 * good when a container of it starts again. So many others are withheld that just capacity − withdrawn can be had; where
 * pods have more than that, all that are free. Slices that are withheld already stay so, as far as they are needed.
 */
export function listSlices(
  { capacity, withdrawn }: SliceSupply,
  inUse: ReadonlySet<number>,
  before: SliceList,
): SliceList {
  const beyond = [...inUse].filter((number) => number >= capacity);
  const listed = [...range(capacity), ...beyond.toSorted((a, b) => a - b)];
  const free = listed.filter((number) => !inUse.has(number));
  const surplus = listed.length - Math.max(0, capacity - withdrawn);
  const wasWithheld = new Set(before.withheld);
  // From the top: kubelet is asked to take from the bottom, so the two seldom meet.
  const ranked = [
    ...free.filter((number) => wasWithheld.has(number)).toReversed(),
    ...free.filter((number) => !wasWithheld.has(number)).toReversed(),
  ];
  const withheld = ranked.slice(0, Math.max(0, surplus)).toSorted((a, b) => a - b);
  return { capacity, withdrawn, listed, withheld };
}

/** How many more would have to be withheld, were they free. */
export function shortfall({ capacity, withdrawn, listed, withheld }: SliceList): number {
  return Math.max(0, listed.length - withheld.length - Math.max(0, capacity - withdrawn));
}

/** What must count as in use while kubelet cannot be asked: all that it was ever offered. */
export const offered = ({ listed, withheld }: SliceList): ReadonlySet<number> => {
  const hidden = new Set(withheld);
  return new Set(listed.filter((number) => !hidden.has(number)));
};

const range = (count: number): number[] => Array.from({ length: count }, (_, number) => number);
