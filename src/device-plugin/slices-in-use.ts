import { SLICE_RESOURCE } from '../api/extended-resource.ts';
import type { Clock } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import { sliceIds } from './slice-resource.ts';

export interface SlicesInUseDeps {
  readonly clock: Clock;
  readonly log: Log;
  /** The IDs of a resource that containers have. Kubelet may be away. */
  readonly givenOut: (resource: string) => Promise<readonly string[]>;
}

/** Knows which slices pods have. */
export interface SlicesInUse {
  /** Kubelet is giving these to a container. */
  note(numbers: readonly number[]): void;
  /** What kubelet says, and what it will say shortly; `otherwise` stands for the former while kubelet says nothing. */
  read(otherwise: () => ReadonlySet<number>): Promise<ReadonlySet<number>>;
}

/** Kubelet lists what it gave out only once Allocate has returned and the pod is admitted. */
const UNLISTED_MS = 30_000;

export function slicesInUse({ clock, log, givenOut }: SlicesInUseDeps): SlicesInUse {
  const lately = new Map<number, number>(); // Number → until when it counts as in use, listed or not.

  const listed = async (otherwise: () => ReadonlySet<number>): Promise<Iterable<number>> => {
    try {
      return (await givenOut(SLICE_RESOURCE)).map(sliceIds.numberOf);
    } catch (err) {
      log.warn('kubelet does not say which slices pods have', { err });
      return otherwise();
    }
  };
  return {
    note(numbers) {
      const until = clock.now().getTime() + UNLISTED_MS;
      for (const number of numbers) lately.set(number, until);
    },
    async read(otherwise) {
      const inUse = new Set(await listed(otherwise));
      const now = clock.now().getTime();
      for (const [number, until] of lately) {
        if (until <= now) lately.delete(number);
        else inUse.add(number);
      }
      return inUse;
    },
  };
}
