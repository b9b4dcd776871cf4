import { SLICE_RESOURCE } from '../api/extended-resource.ts';
import type { Clock } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import { jsonEqual } from '../lib/json-equal.ts';
import { listSlices, offered, shortfall, type SliceList, type SliceSupply } from './slice-list.ts';
import { sliceIds, sliceResource, type SliceResource } from './slice-resource.ts';

export interface SliceKeeperDeps {
  readonly clock: Clock;
  readonly log: Log;
  /** The list of an earlier process; undefined on a node that never had slices. */
  readonly saved: SliceList | undefined;
  readonly save: (list: SliceList) => Promise<void>;
  /** The IDs of a resource that containers have. Kubelet may be away. */
  readonly givenOut: (resource: string) => Promise<readonly string[]>;
}

export interface SliceKeeper extends AsyncDisposable {
  readonly resource: SliceResource;
  /** Takes what the backend says and gives the list that kubelet is told. */
  publish(supply: SliceSupply): Promise<SliceList>;
}

/** Kubelet lists what it gave out only once Allocate has returned and the pod is admitted. */
const UNLISTED_MS = 30_000;
/** How often slices that should be withheld are looked for while pods have them. */
const RECHECK_MS = 5000;

/** Keeps the list of slices: the latest supply, less what must not be withheld since pods have it. */
export function sliceKeeper({ clock, log, saved, save, givenOut }: SliceKeeperDeps): SliceKeeper {
  const lately = new Map<number, number>(); // Given out by Allocate: number → until when it counts as in use.
  let supply: SliceSupply = saved ?? { capacity: 0, withdrawn: 0 };
  let work: Promise<void> = Promise.resolve();
  let recheck: Disposable | undefined;
  let stopped = false;

  const resource = sliceResource(saved, (numbers) => {
    const until = clock.now().getTime() + UNLISTED_MS;
    for (const number of numbers) lately.set(number, until);
    const { withheld } = resource.list();
    if (numbers.some((number) => withheld.includes(number))) void revise(); // Kubelet had not read that list yet.
  });

  const inUse = async (): Promise<ReadonlySet<number>> => {
    const now = clock.now().getTime();
    for (const [number, until] of lately) if (until <= now) lately.delete(number);
    try {
      return new Set([...(await givenOut(SLICE_RESOURCE)).map(sliceIds.numberOf), ...lately.keys()]);
    } catch (err) {
      log.warn('kubelet does not say which slices pods have', { err });
      return new Set([...offered(resource.list()), ...lately.keys()]);
    }
  };

  /** One at a time; what comes in meanwhile is taken up by the next. */
  const revise = (): Promise<void> => {
    work = work.then(async () => {
      if (stopped) return;
      recheck?.[Symbol.dispose]();
      const before = resource.list();
      const list = listSlices(supply, await inUse(), before);
      if (!jsonEqual(list, before)) {
        resource.replace(list);
        log.info('slices changed', { capacity: list.capacity, withheld: list.withheld.length, short: shortfall(list) });
        await save(list).catch((err: unknown) => log.warn('list of slices not saved', { err }));
      }
      if (!stopped && isUnsettled(list)) recheck = clock.after(RECHECK_MS, () => void revise());
    });
    return work;
  };

  if (saved !== undefined) void revise(); // Pods may have ended while no plugin ran.
  return {
    resource,
    async publish(newer) {
      supply = newer;
      await revise();
      return resource.list();
    },
    async [Symbol.asyncDispose]() {
      stopped = true;
      recheck?.[Symbol.dispose]();
      await work;
    },
  };
}

/** Too few are withheld, or slices are listed only since pods have them: either may end with a pod. */
const isUnsettled = (list: SliceList): boolean => shortfall(list) > 0 || list.listed.length > list.capacity;
