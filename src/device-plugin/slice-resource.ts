import { MAX_DEVICE_IDS, SLICE_RESOURCE } from '../api/extended-resource.ts';
import { deviceIds, pick } from './device-id.ts';
import type { Device, Resource } from './resource.ts';
import { NO_SLICES, type SliceList } from './slice-list.ts';

export const sliceIds = deviceIds('slice', MAX_DEVICE_IDS);

export interface SliceResource extends Resource {
  readonly list: () => SliceList;
  replace(list: SliceList): void;
}

/** `aquifer.dev/slice`: as many as the list says. A container's mounts come with its slot, so a slice brings nothing. */
export function sliceResource(
  saved: SliceList | undefined,
  given: (numbers: readonly number[]) => void,
): SliceResource {
  let list = saved ?? NO_SLICES;
  let devices = devicesOf(list);
  const listeners = new Set<() => void>();
  return {
    name: SLICE_RESOURCE,
    endpoint: 'aquifer-slice.sock',
    options: { preStartRequired: false, getPreferredAllocationAvailable: true },
    list: () => list,
    replace(newer) {
      list = newer;
      devices = devicesOf(newer);
      for (const listener of listeners) listener();
    },
    devices: () => devices,
    onChange(listener) {
      listeners.add(listener);
      return { [Symbol.dispose]: () => void listeners.delete(listener) };
    },
    allocate(wanted) {
      given(wanted.map(sliceIds.numberOf));
      return {};
    },
    prefer: ({ availableDeviceIDs, mustIncludeDeviceIDs, allocationSize: size }) =>
      pick(availableDeviceIDs.map(sliceIds.numberOf), mustIncludeDeviceIDs.map(sliceIds.numberOf), {
        size,
        from: 0,
      }).map(sliceIds.idOf),
    preStart: () => Promise.resolve(),
  };
}

function devicesOf({ listed, withheld }: SliceList): readonly Device[] {
  const hidden = new Set(withheld);
  return listed.map((number) => ({ ID: sliceIds.idOf(number), health: hidden.has(number) ? 'Unhealthy' : 'Healthy' }));
}
