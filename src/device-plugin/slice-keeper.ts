import { jsonEqual } from '../lib/json-equal.ts';
import { listSlices, offered, shortfall, type SliceList, type SliceSupply } from './slice-list.ts';
import { sliceResource, type SliceResource } from './slice-resource.ts';
import { slicesInUse, type SlicesInUseDeps } from './slices-in-use.ts';

export interface SliceKeeperDeps extends SlicesInUseDeps {
  /** The list of an earlier process; undefined on a node that never had slices. */
  readonly saved: SliceList | undefined;
  readonly save: (list: SliceList) => Promise<void>;
}

export interface SliceKeeper extends AsyncDisposable {
  readonly resource: SliceResource;
  /** Takes what the backend says and gives the list that kubelet is told. */
  publish(supply: SliceSupply): Promise<SliceList>;
}

/** How often slices that should be withheld are looked for while pods have them. */
const RECHECK_MS = 5000;

/** Keeps the list of slices: the latest supply, less what must not be withheld since pods have it. */
export function sliceKeeper(deps: SliceKeeperDeps): SliceKeeper {
  const { clock, log, saved, save } = deps;
  const inUse = slicesInUse(deps);
  let supply: SliceSupply = saved ?? { capacity: 0, withdrawn: 0 };
  let work: Promise<void> = Promise.resolve();
  let next: Promise<void> | undefined;
  let recheck: Disposable | undefined;
  let stopped = false;

  const resource = sliceResource(saved, (numbers) => {
    inUse.note(numbers);
    const { withheld } = resource.list();
    if (numbers.some((number) => withheld.includes(number))) void revise(); // Kubelet had not read that list yet.
  });

  const reviseOnce = async (): Promise<void> => {
    next = undefined;
    if (stopped) return;
    recheck?.[Symbol.dispose]();
    const before = resource.list();
    const list = listSlices(supply, await inUse.read(() => offered(before)), before);
    if (!jsonEqual(list, before)) {
      resource.replace(list);
      log.info('slices changed', { capacity: list.capacity, withheld: list.withheld.length, short: shortfall(list) });
      await save(list).catch((err: unknown) => log.warn('list of slices not saved', { err }));
    }
    if (!stopped && isUnsettled(list)) recheck = clock.after(RECHECK_MS, () => void revise());
  };
  /** One at a time; all that comes in meanwhile is taken up by the next. */
  const revise = (): Promise<void> => (next ??= work = work.then(reviseOnce));

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
