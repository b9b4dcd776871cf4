import type { Clock } from '../lib/clock.ts';
import type { GatewayConnections } from './gateway-connections.ts';
import type { SessionRegistry } from './session-registry.ts';

export interface ClaimClosingDeps {
  readonly clock: Clock;
  readonly registry: SessionRegistry;
  readonly gateways: Pick<GatewayConnections, 'isInformed' | 'onInformed' | 'revoke'>;
}

/** Ends the sessions of a claim for good: `closed` once none is left, `pending` if some are left at the deadline. */
export function closeClaim(deps: ClaimClosingDeps, claimUid: string, deadline: Date): Promise<'closed' | 'pending'> {
  const { clock, registry, gateways } = deps;
  const isClosed = (): boolean => gateways.isInformed() && registry.ofClaim(claimUid).length === 0;
  gateways.revoke(claimUid);
  if (isClosed()) return Promise.resolve('closed');

  return new Promise((resolve) => {
    const held = new DisposableStack();
    const settle = (outcome: 'closed' | 'pending'): void => {
      held.dispose();
      resolve(outcome);
    };
    const look = (): void => {
      if (isClosed()) settle('closed');
    };
    held.use(registry.onChange(look));
    held.use(gateways.onInformed(look));
    const remainingMs = Math.max(0, deadline.getTime() - clock.now().getTime());
    held.use(clock.after(remainingMs, () => settle('pending')));
  });
}
