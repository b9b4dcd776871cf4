/** What kubelet sees of a node as extended resources. */

/** A place to attach one container to its claim; fungible, always healthy. */
export const SLOT_RESOURCE = 'aquifer.dev/slot';

/** A part of a GPU of the node that can still be promised there. */
export const SLICE_RESOURCE = 'aquifer.dev/slice';

/** Every node offers so many: more containers than kubelet lets a node have by default (110 pods). */
export const SLOTS_PER_NODE = 256;

/** More IDs of one resource do not fit into kubelet's messages. */
export const MAX_DEVICE_IDS = 32_767;
