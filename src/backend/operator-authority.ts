import type { OperatorClient } from '../grpc/operator-client.ts';
import { RpcError } from '../grpc/rpc-error.ts';
import { Refused } from '../ipc/json-lines.ts';
import type { Clock } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import { backoffMs } from '../runtime/backoff.ts';
import { sleep } from '../runtime/sleep.ts';
import type { Authority } from './ports.ts';

/** The authority of a node in a cluster: the operator, over the network. */
export function operatorAuthority(operator: Pick<OperatorClient, 'enrol' | 'renewTicket'>): Authority {
  return {
    enrol: (csrPem) => refusing(operator.enrol(csrPem)),
    renew: (ticket, holderKey) => refusing(operator.renewTicket(ticket, holderKey)),
    obtain: () => Promise.reject(new Refused('NotOffered', 'tickets are offered by aquifer serve alone')),
    // Whoever shows a valid ticket was bound minutes ago at most, and a claim that is closed since is closed here too.
    isBound: () => Promise.resolve(true),
  };
}

/** The gateway is answered with the operator's own word. */
const refusing = <T>(answer: Promise<T>): Promise<T> =>
  answer.catch((error: unknown) => {
    if (error instanceof RpcError) throw new Refused(error.reason ?? 'OperatorAway', error.message);
    throw error;
  });

export interface ClosingsDeps {
  readonly operator: Pick<OperatorClient, 'closings' | 'reportClosing'>;
  /** Ends the sessions of a claim, and lets no new one begin. */
  readonly closeClaim: (claimUid: string, deadline: Date) => Promise<'closed' | 'pending'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** Closes the claims that the operator closes, until the signal. An operator that is away is looked for again. */
export async function followClosings({ operator, closeClaim, clock, log, signal }: ClosingsDeps): Promise<void> {
  const close = async (claimUid: string, patienceMs: number): Promise<void> => {
    const outcome = await closeClaim(claimUid, new Date(clock.now().getTime() + patienceMs));
    if (outcome === 'closed') await operator.reportClosing(claimUid); // Else the operator asks again.
  };
  for (let failures = 0; !signal.aborted; failures++) {
    try {
      for await (const { claimUid, patienceMs } of operator.closings()) {
        failures = 0;
        close(claimUid, patienceMs).catch((err: unknown) => log.warn('claim not closed', { claimUid, err }));
      }
    } catch (err) {
      log.debug('operator not followed', { err });
    }
    await sleep(clock, backoffMs(failures + 1, { baseMs: 100, capMs: 2000 }), signal);
  }
}
