import type { Kinds } from '../api/kinds.ts';
import type { Clock } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import type { Pulse } from '../runtime/heartbeats.ts';
import type { Store } from '../runtime/store.ts';
import { closeClaim } from './claim-closing.ts';
import { acceptGateways, type GatewayConnections } from './gateway-connections.ts';
import { gatewayService } from './gateway-service.ts';
import type { Gpu } from './gpu.ts';
import { readLedgers, removeContainerLedgers, removeLedgers } from './ledger-directory.ts';
import { startNodeReporter } from './node-reporter.ts';
import type { Agent } from './node-status.ts';
import type { Authority, WorkerPaths } from './ports.ts';
import { createResumeAccount, type ResumeCounts } from './resumes.ts';
import { createSessionRegistry, type ClaimReference, type Session, type SessionListener } from './session-registry.ts';
import { startUsageSampler } from './usage-sampler.ts';
import type { UsageSample } from './usage.ts';

export interface BackendOptions {
  readonly store: Store<Kinds>;
  readonly pulse: Pulse;
  readonly clock: Clock;
  readonly log: Log;
  readonly authority: Authority;
  readonly node: string;
  readonly labels: () => Promise<Readonly<Record<string, string>>>;
  readonly agent: Agent;
  readonly inventory: () => Promise<readonly Gpu[]>;
  /** How often the GPUs are looked at and reported. */
  readonly heartbeatMs: number;
  readonly workers: WorkerPaths;
  /** Where the gateway finds us. */
  readonly socket: string;
  /** Is told of each session that begins, and of each that ends, with the gateway's word for why. */
  readonly onSession?: SessionListener;
}

/** The GPU node's part of the control plane. */
export interface Backend extends AsyncDisposable {
  readonly gpus: () => readonly Gpu[];
  readonly sessions: () => readonly Session[];
  /** Claims that have or had sessions here. */
  readonly claims: () => readonly ClaimReference[];
  readonly usage: () => UsageSample;
  /** How attempts to go on with sessions have ended. */
  readonly resumes: () => ResumeCounts;
  /** Why the node was not reported, if it was not. */
  readonly trouble: () => string | undefined;
  /** Why no program can be served, if none can. */
  readonly gatewayTrouble: () => string | undefined;
  /** Resolves once the gateway has told which sessions live: from then on programs can be served. */
  readonly connected: Promise<void>;
  /** Ends all sessions of a claim, and refuses new ones: it is about to give its share back. */
  closeClaim(claimUid: string, deadline: Date): Promise<'closed' | 'pending'>;
}

/** Reports the node, serves its gateway and keeps the account of its sessions. */
export async function startBackend(options: BackendOptions): Promise<Backend> {
  const { clock, log, authority, workers, socket } = options;
  await using stack = new AsyncDisposableStack();
  const registry = createSessionRegistry(options.onSession);
  const sampler = stack.use(startUsageSampler(workers.ledgers, clock, (err) => log.warn('usage not read', { err })));
  const reporter = stack.use(await startNodeReporter({ ...options, intervalMs: options.heartbeatMs }));
  const resumes = createResumeAccount();
  const answer = gatewayService({
    authority,
    resumes,
    clock,
    registry,
    workers,
    log,
    gpus: reporter.gpus,
    usage: sampler.current,
    ledgers: () => readLedgers(workers.ledgers),
    forgetAccounts: (claimUid, containerKey) => removeContainerLedgers(workers.ledgers, claimUid, containerKey),
    isRevoked: (claimUid) => gateways.isRevoked(claimUid),
  });
  const gateways: GatewayConnections = stack.use(await acceptGateways({ socket, log, answer }));

  const connected = new Promise<void>((resolve) => {
    const waiting = gateways.onInformed(() => {
      waiting[Symbol.dispose]();
      resolve();
    });
  });
  const owned = stack.move();
  return {
    gpus: reporter.gpus,
    sessions: registry.list,
    claims: registry.claims,
    usage: sampler.current,
    resumes: resumes.total,
    trouble: reporter.trouble,
    gatewayTrouble: () => (gateways.isInformed() ? undefined : 'no gateway has told which sessions live'),
    connected,
    async closeClaim(claimUid, deadline) {
      const outcome = await closeClaim({ clock, registry, gateways }, claimUid, deadline);
      if (outcome === 'pending') return outcome;
      removeLedgers(workers.ledgers, claimUid);
      registry.forget(claimUid);
      return outcome;
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
