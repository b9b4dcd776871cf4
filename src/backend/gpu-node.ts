import type { OperatorClient } from '../grpc/operator-client.ts';
import { leasePulse } from '../kube/heartbeats.ts';
import type { Connection } from '../kube/connection.ts';
import { kindResources } from '../kube/resource.ts';
import { kubeStore } from '../kube/store.ts';
import type { Clock } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import { VERSION } from '../lib/version.ts';
import type { AgentPaths } from './agent-paths.ts';
import { startBackend, type Backend } from './backend.ts';
import type { GpuSource } from './gpu-source.ts';
import { readInventory } from './inventory.ts';
import { nodeLabels } from './node-labels.ts';
import { followClosings, operatorAuthority } from './operator-authority.ts';
import type { SessionListener } from './session-registry.ts';
import { sessionReports } from './session-reports.ts';
import { followSlices } from './slices.ts';

/** Who writes the agent's part of a GPUNode. */
const MANAGER = 'aquifer-node';

export interface GpuNodeOptions {
  readonly node: string;
  /** Where the Lease is by which the agent says that it is alive. */
  readonly namespace: string;
  readonly endpoint: string;
  readonly heartbeatMs: number;
  readonly paths: AgentPaths;
  readonly worker: string;
  readonly gpus: GpuSource;
  readonly operator: OperatorClient;
  readonly connection: Connection;
  readonly clock: Clock;
  readonly log: Log;
  readonly onSession: SessionListener;
  readonly signal: AbortSignal;
}

/** The backend of a node of a cluster: its GPUNode in the API server, the operator as the one that signs. */
export async function startGpuNode(options: GpuNodeOptions): Promise<Backend> {
  const { node, namespace, endpoint, heartbeatMs, paths, worker, gpus, operator, connection, clock, log, signal } =
    options;
  const report = sessionReports(operator, log);
  const backend = await startBackend({
    store: kubeStore({ connection, clock, manager: MANAGER, resources: kindResources }),
    pulse: leasePulse({ connection, clock, namespace, node }),
    clock,
    log,
    authority: operatorAuthority(operator),
    node,
    labels: nodeLabels(connection, node, clock),
    agent: { version: VERSION, endpoint },
    inventory: () => readInventory({ worker, ...gpus }),
    heartbeatMs,
    workers: { ledgers: paths.ledgers, turns: paths.turns, driver: gpus.driver, environment: gpus.environment },
    socket: paths.backendSocket,
    onSession(session, ended) {
      report(session, ended);
      options.onSession(session, ended);
    },
  });
  const slices = followSlices({ connection, node, socket: paths.devicePluginSocket, clock, log, signal });
  const closeClaim: Backend['closeClaim'] = (claimUid, deadline) => backend.closeClaim(claimUid, deadline);
  const following = followClosings({ operator, closeClaim, clock, log, signal });
  following.catch((err: unknown) => log.error('closings of claims are not followed', { err }));
  return {
    ...backend,
    async [Symbol.asyncDispose]() {
      await slices[Symbol.asyncDispose]();
      await backend[Symbol.asyncDispose]();
    },
  };
}
