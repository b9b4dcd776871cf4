import { RpcError, type RpcCode } from '../grpc/rpc-error.ts';
import type { CallContext } from '../grpc/server.ts';
import { Refused } from '../ipc/json-lines.ts';
import type { ReconnectingClient } from '../ipc/reconnecting-client.ts';
import type { Clock } from '../lib/clock.ts';
import { backoffMs } from '../runtime/backoff.ts';
import { sleep } from '../runtime/sleep.ts';
import type { PluginCounts, PreparationOutcome } from './counts.ts';

/** Has the connector put a fresh listening socket into a slot, in which it stays the only one for the container's life. */
export interface SlotPreparer {
  /** @throws RpcError: kubelet shows its text in the pod's events, and tries again. */
  prepare(slot: string, context: Pick<CallContext, 'signal' | 'deadlineMs'>): Promise<void>;
}

export interface SlotPreparerDeps {
  readonly connector: Pick<ReconnectingClient, 'get'>;
  readonly clock: Clock;
  readonly counts: Pick<PluginCounts, 'prepared'>;
}

/** Kubelet waits 30 s. What it would not hear any more is better not begun. */
const LONGEST_MS = 29_000;
const RETRY = { baseMs: 50, capMs: 1000 };

/**
 * Kubelet's retry overlaps the call it has given up. One at a time is let through for each slot, and one that was given
 * up while it waited is not begun: it would take the socket away from the container that the retry has started.
 */
export function slotPreparer({ connector, clock, counts }: SlotPreparerDeps): SlotPreparer {
  const lastOf = new Map<string, Promise<void>>();

  const ask = async (slot: string, signal: AbortSignal, untilMs: number): Promise<void> => {
    for (let failures = 1; ; failures++) {
      if (signal.aborted) throw new RpcError('CANCELLED', 'kubelet has given up waiting');
      try {
        const client = await connector.get();
        if (!signal.aborted) return void (await client.request('prepareSlot', { slot }));
      } catch (error) {
        if (error instanceof Refused) throw refusal(error);
        const delayMs = backoffMs(failures, RETRY);
        if (clock.now().getTime() + delayMs >= untilMs) throw away(error);
        await sleep(clock, delayMs, signal);
      }
    }
  };

  return {
    async prepare(slot, { signal, deadlineMs }) {
      const begunMs = clock.now().getTime();
      const untilMs = Math.min(deadlineMs - 1000, begunMs + LONGEST_MS);
      const before = lastOf.get(slot) ?? Promise.resolve();
      const done = before.then(() => ask(slot, signal, untilMs));
      const settled = done.catch(() => undefined);
      lastOf.set(slot, settled);
      try {
        await done;
        counts.prepared('Prepared', (clock.now().getTime() - begunMs) / 1000);
      } catch (error) {
        counts.prepared(outcomeOf(error), (clock.now().getTime() - begunMs) / 1000);
        throw error;
      } finally {
        if (lastOf.get(slot) === settled) lastOf.delete(slot);
      }
    },
  };
}

const OUTCOMES: Readonly<Partial<Record<RpcCode, PreparationOutcome>>> = {
  CANCELLED: 'Cancelled',
  FAILED_PRECONDITION: 'Refused',
};

const outcomeOf = (error: unknown): PreparationOutcome =>
  (error instanceof RpcError ? OUTCOMES[error.code] : undefined) ?? 'ConnectorAway';

const refusal = (error: Refused): RpcError =>
  new RpcError('FAILED_PRECONDITION', `${error.reason}: ${error.message}`, { cause: error });

const away = (error: unknown): RpcError =>
  new RpcError('UNAVAILABLE', `the connector of this node does not answer: ${String(error)}`, { cause: error });
