import type { OperatorClient } from '../grpc/operator-client.ts';
import type { Log } from '../lib/log.ts';
import type { SessionListener } from './session-registry.ts';

/** Tells the operator of sessions that begin and end. It is for people to read: a report that fails is not repeated. */
export function sessionReports(operator: Pick<OperatorClient, 'reportSession'>, log: Log): SessionListener {
  return ({ session, claim }, ended) => {
    const report = {
      session,
      claimNamespace: claim.namespace,
      claimName: claim.name,
      claimUid: claim.uid,
      ended: ended !== undefined,
      reason: wordOf(ended ?? ''),
    };
    operator.reportSession(report).catch((err: unknown) => log.debug('session not reported', { session, err }));
  };
}

/** A reason comes from the gateway, and a report takes one word. */
const wordOf = (reason: string): string => reason.replaceAll(/[^A-Za-z0-9]/g, '').slice(0, 64);
