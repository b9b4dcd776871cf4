import { join } from 'node:path';
import type { Kinds } from '../api/kinds.ts';
import { startBackend, type Backend } from '../backend/backend.ts';
import { readInventory } from '../backend/inventory.ts';
import { backendMetrics, sessionCounts } from '../backend/metrics.ts';
import type { ServeConfig } from '../config/serve.ts';
import { openEmbeddedStore } from '../embedded/store.ts';
import { reconnectingClient } from '../ipc/reconnecting-client.ts';
import type { Clock } from '../lib/clock.ts';
import { hostPort } from '../lib/host-port.ts';
import type { Log } from '../lib/log.ts';
import { VERSION } from '../lib/version.ts';
import { createMetrics, type Metrics } from '../metrics/registry.ts';
import { operatorMetrics } from '../operator/metrics.ts';
import { startOperator, type Operator } from '../operator/operator.ts';
import { localHeartbeats } from '../runtime/heartbeats.ts';
import { serveProbes } from '../runtime/probe-server.ts';
import type { Store } from '../runtime/store.ts';
import { serveApi } from './api-server.ts';
import { dataDirAt, makeDataDir, type DataDir } from './data-dir.ts';
import { endpointOf } from './endpoint.ts';
import type { GpuSource } from '../backend/gpu-source.ts';
import type { InstallPrefix } from '../backend/install-prefix.ts';
import { localOffers } from './local-offers.ts';
import type { NativeProgram } from './native-process.ts';
import { openPoolAuthority, type PoolAuthority } from './pool-authority.ts';
import { nativePrograms } from './programs.ts';
import { readyLine, readyNode } from './readiness.ts';
import { sessionViews } from './session-view.ts';
import { shutDown, shutDownIfIdle } from './shutdown.ts';
import { supervise } from './supervisor.ts';

export interface ServeOptions {
  readonly config: ServeConfig;
  readonly prefix: InstallPrefix;
  readonly gpus: GpuSource;
  readonly clock: Clock;
  readonly log: Log;
  /** Aborted when the user stops serve. */
  readonly signal: AbortSignal;
  /** Tells the user something. */
  readonly say: (line: string) => void;
}

/**
 * Serves the GPUs of this host until the signal: operator, backend and store in this process, workers and what carries
 * their traffic in processes of their own, which live on when this one is killed and are adopted by the next.
 */
export async function serve(options: ServeOptions): Promise<void> {
  const { config, prefix, clock, log, signal } = options;
  const dirs = dataDirAt(config.dataDir);
  makeDataDir(dirs);
  await using running = new AsyncDisposableStack();
  // First of all: whoever has the database has the data directory, and everything that runs in it.
  const store = running.use(openEmbeddedStore({ directory: join(dirs.root, 'store'), clock }));
  const programs = nativePrograms({ prefix, dirs, node: config.nodeName, listen: config.listen, vsock: config.vsock });
  running.defer(() => (signal.aborted ? shutDown(programs, dirs) : shutDownIfIdle(programs, dirs)));

  const endpoint = await startPrograms(options, programs, running);
  const metrics = createMetrics();
  const { authority, backend } = await startControl(options, { store, dirs, endpoint, metrics }, running);
  const probes = { metrics, readiness: { gpus: backend.trouble, gateway: backend.gatewayTrouble } };
  const connector = running.use(reconnectingClient({ path: dirs.connectorSocket, name: 'serve', version: VERSION }));
  const local = `unix:${dirs.gatewaySocket}`;
  const offers = running.use(
    localOffers({
      connector,
      store,
      log,
      directory: dirs.sockets,
      ticketFor: (claim, holderKey) => authority.issue({ claim, holderKey, node: config.nodeName }, [local]),
    }),
  );
  const api = serveApi(dirs.apiSocket, {
    store,
    version: VERSION,
    sessions: () => sessionViews(backend.sessions(), backend.usage()),
    issueTicket: async ({ claim, holderKey, expiresSeconds, addresses }) =>
      authority.issue({ claim, holderKey, lifetimeSeconds: expiresSeconds }, addresses ?? [endpoint()]),
    attach: async (claim) => ({ socket: await offers.offer(claim), libraries: prefix.clientLibraries }),
    probes,
    failed: (err) => log.error('API request failed', { err }),
  });
  running.use(await api);
  if (config.metricsListen !== undefined) {
    const { port } = running.use(await serveProbes({ listen: config.metricsListen, ...probes }));
    log.info('metrics are served', { port });
  }

  await sayReady(store, options, backend.connected);
  await aborted(signal);
  log.info('stopping', {});
}

/**
 * Starts or adopts the native processes. Resolves to what gives the address under which the gateway is reached: on a port
 * that the system chose, another after a restart.
 */
async function startPrograms(
  { config, clock, log }: ServeOptions,
  programs: Readonly<Record<'spawner' | 'gateway' | 'connector', NativeProgram>>,
  running: AsyncDisposableStack,
): Promise<() => string> {
  running.use(await supervise(programs.spawner, { clock, log }));
  const gateway = running.use(await supervise(programs.gateway, { clock, log }));
  running.use(await supervise(programs.connector, { clock, log }));
  return () => endpointOf(gateway.record().listen?.[0] ?? hostPort(config.listen.host, config.listen.port));
}

interface ControlOptions {
  readonly store: Store<Kinds>;
  readonly dirs: DataDir;
  readonly endpoint: () => string;
  readonly metrics: Metrics;
}

/** Operator and backend, which know of each other only what the other's ports say. */
async function startControl(
  { config, prefix, gpus, clock, log }: ServeOptions,
  { store, dirs, endpoint, metrics }: ControlOptions,
  running: AsyncDisposableStack,
): Promise<{ readonly authority: PoolAuthority; readonly backend: Backend }> {
  const backend = Promise.withResolvers<Backend>();
  const heartbeats = localHeartbeats(clock);
  const counts = operatorMetrics(metrics, () => operator.stats());
  const operator: Operator = startOperator({
    ...counts,
    store,
    heartbeats,
    clock,
    log,
    agentGraceMs: config.agentGracePeriod.ms,
    releaseTimeoutMs: config.releaseTimeout.ms,
    sessions: { close: async (claimUid, deadline) => (await backend.promise).closeClaim(claimUid, deadline) },
  });
  running.defer(() => operator.stop());
  const node = config.nodeName;
  const authority = running.use(
    await openPoolAuthority({ directory: dirs.pki, clock, node, operator: () => operator, guests: dirs.guests, log }),
  );
  const started = await startBackend({
    store,
    pulse: heartbeats.pulseOf(node),
    clock,
    log,
    node,
    labels: () => Promise.resolve({}),
    authority: authority.gateway,
    agent: {
      version: VERSION,
      get endpoint() {
        return endpoint();
      },
    },
    inventory: () => readInventory({ worker: prefix.worker, ...gpus }),
    heartbeatMs: config.heartbeatInterval.ms,
    workers: { ledgers: dirs.ledgers, turns: dirs.turns, driver: gpus.driver, environment: gpus.environment },
    socket: dirs.backendSocket,
    onSession: sessionCounts(metrics),
  });
  backendMetrics(metrics, node, () => started);
  backend.resolve(running.use(started));
  return { authority, backend: started };
}

async function sayReady(
  store: Store<Kinds>,
  { config, signal, say }: ServeOptions,
  connected: Promise<void>,
): Promise<void> {
  const node = await readyNode(store, config.nodeName, signal);
  await Promise.race([connected, aborted(signal)]);
  if (node === undefined || signal.aborted) return;
  say(readyLine(node, config.dataDir));
  const { items } = await store.list('GPUPool');
  if (items.length === 0) say('there is no pool yet: apply one, such as share/aquifer/examples/pool.yaml, and claims');
}

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
