import type { Refusal, RefusalReason } from './refusal.ts';

/** The sentence that a user reads, with what would help; made here and nowhere else. */
export function explain(refusal: Refusal): string {
  const sentence = sentences[refusal.reason] as (refusal: Refusal) => string;
  return sentence(refusal);
}

type Of<Reason extends RefusalReason> = Extract<Refusal, { reason: Reason }>;

const tooSmall = ({ neededBytes, largestBytes, gpu, node }: Of<'NoMatchingMemory' | 'GPUTooSmall'>): string =>
  `needs ${atLeast(neededBytes)} on one GPU; the largest has ${atMost(largestBytes)}, ${gpu} of ${node}`;

const DELETE_OR_LESS = 'delete a claim that is not needed, or ask for less';

const sentences: { readonly [Reason in RefusalReason]: (refusal: Of<Reason>) => string } = {
  PoolNotFound: ({ pool, pools }) =>
    pools.length === 0
      ? `pool ${pool} does not exist: create it`
      : `pool ${pool} does not exist: create it, or name another: ${listed(pools)}`,
  NoGPUs: ({ pool }) => `pool ${pool} has no GPUs: no node that its nodeSelector selects shows one`,
  TooManySlices: ({ count, slicesPerGpu }) => `needs ${count} slices of one GPU, which has ${slicesPerGpu}`,
  SlicesTooSmall: ({ count, neededCount }) =>
    `${count === 1 ? 'one slice is' : `${count} slices are`} less than the smallest vGPU: ask for at least ${neededCount}`,
  NoNodeAllowed: ({ pool, nodes }) =>
    `the GPUs of pool ${pool} are on ${nodes.join(', ')}, where the pod's nodeSelector and node affinity do not let it go`,
  NoSlices: ({ pool }) => `no node counts slices of pool ${pool}: the GPUs of its nodes belong to another pool as well`,
  NoSuchSlices: ({ node, count, neededBytes }) =>
    `node ${node} has no GPU of the pool of which ${count} slices are so much, ${atLeast(neededBytes)}`,
  NoMatchingModel: ({ wanted, models }) => `no GPU matches model ${wanted.join(' or ')}; there are ${listed(models)}`,
  NoMatchingMemory: (refusal) => `${tooSmall(refusal)}: ask for a smaller gpuSelector.minMemory`,
  NoHealthyGPUs: ({ gpus }) =>
    gpus === 1
      ? 'the one GPU that would do is not healthy, or its node does not answer: its GPUNode says why'
      : `none of the ${gpus} GPUs that would do is healthy and on a node that answers: their GPUNodes say why`,
  GPUTooSmall: (refusal) => `${tooSmall(refusal)}: ask for at most ${atMost(refusal.largestBytes)}`,
  InsufficientMemory: ({ neededBytes, freeBytes, gpu, node }) =>
    `needs ${atLeast(neededBytes)} on one GPU; the most free is ${atMost(freeBytes)}, on ${gpu} of ${node}: ${DELETE_OR_LESS}`,
  InsufficientCompute: ({ neededPercent, freePercent, gpu, node }) =>
    `needs ${neededPercent} % of one GPU's compute; the most free is ${freePercent} %, on ${gpu} of ${node}: ${DELETE_OR_LESS}`,
  InsufficientShare: ({ neededBytes, neededPercent, mostMemory, mostCompute }) =>
    `needs ${atLeast(neededBytes)} and ${neededPercent} % of one GPU; free are ${share(mostMemory)}, ${share(mostCompute)}: ${DELETE_OR_LESS}`,
  NotEnoughOnOneNode: ({ vgpus, distinct, most, node }) =>
    distinct
      ? `needs ${vgpus} distinct GPUs with room on one node; the most on one node is ${most}, on ${node}: ask for fewer, or for vgpuPlacement Shared`
      : `needs room for ${vgpus} vGPUs on one node; the most on one node is ${most}, on ${node}: ask for fewer or smaller ones`,
};

const LISTED = 5;

const listed = (names: readonly string[]): string =>
  names.length <= LISTED ? names.join(', ') : `${names.slice(0, LISTED).join(', ')} and ${names.length - LISTED} more`;

const share = ({ freeBytes, freePercent, gpu, node }: Of<'InsufficientShare'>['mostMemory']): string =>
  `${atMost(freeBytes)} and ${freePercent} % on ${gpu} of ${node}`;

const UNITS = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi'];

/** What is needed is rounded up and what is there down, so that a sentence never says "needs 8Gi; the most is 8Gi". */
const atLeast = (bytes: number): string => shortBytes(bytes, Math.ceil);
const atMost = (bytes: number): string => shortBytes(bytes, Math.floor);

/** Bytes with at most two decimals in the largest unit that leaves a whole part. */
function shortBytes(bytes: number, round: (n: number) => number): string {
  const unit = bytes < 1 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log2(bytes) / 10));
  const hundredths = round((bytes / 1024 ** unit) * 100);
  return `${hundredths / 100}${UNITS[unit]}`;
}
