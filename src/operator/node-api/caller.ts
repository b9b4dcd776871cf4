import { RpcError, type RpcCode } from '../../grpc/rpc-error.ts';
import type { CallContext } from '../../grpc/server.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Log } from '../../lib/log.ts';
import type { Result } from '../../lib/result.ts';
import { nodeOf } from './decide.ts';
import type { Refusal, TokenReviews } from './ports.ts';
import { cachedReviews } from './token-cache.ts';

export interface CallerDeps {
  /** The ServiceAccounts of node agents, as `namespace/name`. */
  readonly agents: ReadonlySet<string>;
  readonly reviews: TokenReviews;
  readonly clock: Pick<Clock, 'now'>;
  readonly log: Log;
}

/** Tells for which node a call speaks. @throws RpcError for one that speaks for none. */
export type CallerOf = (context: Pick<CallContext, 'header'>) => Promise<string>;

export function callerOf({ agents, reviews, clock, log }: CallerDeps): CallerOf {
  const cached = cachedReviews(reviews, clock);
  return async ({ header }) => {
    const [, token = ''] = /^Bearer ([\w.~+/=-]+)$/.exec(header('authorization') ?? '') ?? [];
    const owner = await cached.review(token).catch((cause: unknown) => {
      throw new RpcError('UNAVAILABLE', 'the token cannot be reviewed just now', { reason: 'ReviewFailed', cause });
    });
    const node = nodeOf(owner, agents);
    if (node.ok) return node.value;
    log.info('agent refused', { reason: node.error.reason });
    throw refused(node.error.isKnown ? 'PERMISSION_DENIED' : 'UNAUTHENTICATED', node.error);
  };
}

/** The word of a refusal → the code that tells a client whether it helps to try again. */
const CODES: Readonly<Record<string, RpcCode>> = {
  OperatorStarting: 'UNAVAILABLE',
  PodNotFound: 'NOT_FOUND',
  ClaimNotFound: 'NOT_FOUND',
};

const refused = (code: RpcCode, { reason, message }: Refusal): RpcError => new RpcError(code, message, { reason });

/** What was granted. @throws RpcError with the reason why nothing was. */
export function granted<T>(result: Result<T, Refusal>): T {
  if (result.ok) return result.value;
  throw refused(CODES[result.error.reason] ?? 'FAILED_PRECONDITION', result.error);
}
