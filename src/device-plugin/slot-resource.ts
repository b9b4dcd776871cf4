import { SLOT_RESOURCE, SLOTS_PER_NODE } from '../api/extended-resource.ts';
import { RpcError } from '../grpc/rpc-error.ts';
import { deviceIds, pick } from './device-id.ts';
import type { Resource } from './resource.ts';
import { slotMounts, type NodeLayout } from './slot-mounts.ts';
import type { SlotPreparer } from './slot-preparer.ts';

const ids = deviceIds('slot', SLOTS_PER_NODE);

/** The names of the slots' directories: their IDs. */
export const slotNames: readonly string[] = Array.from({ length: SLOTS_PER_NODE }, (_, number) => ids.idOf(number));

/** `aquifer.dev/slot`: always all there, always healthy; a slot gets a fresh socket before each start of its container. */
export function slotResource(layout: NodeLayout, preparer: SlotPreparer): Resource {
  const devices = slotNames.map((ID) => ({ ID, health: 'Healthy' }));
  let next = 0;
  return {
    name: SLOT_RESOURCE,
    endpoint: 'aquifer-slot.sock',
    options: { preStartRequired: true, getPreferredAllocationAvailable: true },
    devices: () => devices,
    onChange: () => ({ [Symbol.dispose]: () => undefined }),
    allocate(wanted) {
      const slot = attached(wanted);
      next = (slot + 1) % SLOTS_PER_NODE;
      return slotMounts(ids.idOf(slot), layout);
    },
    // In turn: a slot rests before it is given out again, so that who had it last is gone.
    prefer: ({ availableDeviceIDs, mustIncludeDeviceIDs, allocationSize: size }) =>
      pick(availableDeviceIDs.map(ids.numberOf), mustIncludeDeviceIDs.map(ids.numberOf), { size, from: next }).map(
        ids.idOf,
      ),
    preStart: (wanted, context) => preparer.prepare(ids.idOf(attached(wanted)), context),
  };
}

/** The one slot that a container is attached to, though it may have asked for more. */
function attached(wanted: readonly string[]): number {
  if (wanted.length === 0) throw new RpcError('INVALID_ARGUMENT', 'a container without a slot cannot be attached');
  return Math.min(...wanted.map(ids.numberOf));
}
