import type { ContainerIds } from '../grpc/pod-resources.ts';
import { RpcError } from '../grpc/rpc-error.ts';
import type { Clock } from '../lib/clock.ts';
import { backoffMs } from '../runtime/backoff.ts';
import { sleep } from '../runtime/sleep.ts';

/** The container that has a slot, as kubelet tells. It does not tell the pod's UID. */
export type SlotHolder = Omit<ContainerIds, 'ids'>;

export interface SlotHolders {
  /** Undefined when no container has it. @throws RpcError while kubelet does not answer. */
  holderOf(slot: string): Promise<SlotHolder | undefined>;
}

export interface SlotHoldersDeps {
  /** Asks kubelet for all slots. */
  readonly list: () => Promise<readonly ContainerIds[]>;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

const APART_MS = 20; // Kubelet answers a hundred questions in a second, and others ask it too.
const RETRY = { baseMs: 20, capMs: 500 };
const TRIES = 6;

/**
 * Whoever asks while kubelet is being asked waits for the next question, which begins after they asked: one for all of
 * them, and never an answer from before a container was there.
 */
export function slotHolders({ list, clock, signal }: SlotHoldersDeps): SlotHolders {
  let last: Promise<unknown> = Promise.resolve();
  let next: Promise<ReadonlyMap<string, SlotHolder>> | undefined;

  const ask = async (): Promise<ReadonlyMap<string, SlotHolder>> => {
    for (let failures = 1; ; failures++) {
      try {
        return bySlot(await list());
      } catch (error) {
        const busy = error instanceof RpcError && error.code === 'RESOURCE_EXHAUSTED';
        if (!busy || failures === TRIES || signal.aborted) throw error;
        await sleep(clock, backoffMs(failures, RETRY), signal);
      }
    }
  };
  const begin = (): Promise<ReadonlyMap<string, SlotHolder>> => {
    const answer = last.then(() => {
      next = undefined;
      return ask();
    });
    last = answer.catch(() => undefined).then(() => sleep(clock, APART_MS, signal));
    return answer;
  };

  return {
    async holderOf(slot) {
      next ??= begin();
      return (await next).get(slot);
    },
  };
}

function bySlot(containers: readonly ContainerIds[]): ReadonlyMap<string, SlotHolder> {
  return new Map(containers.flatMap(({ ids, ...holder }) => ids.map((slot) => [slot, holder] as const)));
}
