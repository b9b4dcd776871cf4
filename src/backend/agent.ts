import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { formatBytes } from '../api/quantity.ts';
import type { BackendConfig } from '../config/backend.ts';
import { operatorClient, type OperatorClient } from '../grpc/operator-client.ts';
import { connect } from '../kube/connection.ts';
import { serviceAccount } from '../kube/service-account.ts';
import type { Clock } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import { createMetrics, type Metrics } from '../metrics/registry.ts';
import { serveProbes } from '../runtime/probe-server.ts';
import { agentPaths, makeAgentPaths, type AgentPaths } from './agent-paths.ts';
import type { Backend } from './backend.ts';
import { startGpuNode } from './gpu-node.ts';
import { NVIDIA, softwareGpus, type GpuSource } from './gpu-source.ts';
import { installPrefix } from './install-prefix.ts';
import { backendMetrics, sessionCounts, ticketCounts } from './metrics.ts';
import { serveTickets } from './ticket-socket.ts';

export interface AgentOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly config: BackendConfig;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** A connector waits 20 s for a ticket, and another replica leads 17 s after the one that led was killed. */
const OPERATOR_PATIENCE_MS = 19_000;

/** The agent of a node of a cluster, until the signal: tickets on every node, the backend where there are GPUs. */
export async function runAgent(options: AgentOptions): Promise<void> {
  const { config, log, clock, signal } = options;
  const metrics = createMetrics();
  const paths = agentPaths(config.runDir);
  makeAgentPaths(config.runDir, paths);
  await using running = new AsyncDisposableStack();
  const operator = running.use(operatorOf(options));
  const gpus = gpusOf(options, paths);
  const gateway = gpus === undefined ? undefined : { node: config.nodeName, socket: paths.gatewaySocket };
  const counted = ticketCounts(metrics);
  const { kubeletDir } = config;
  const tickets = { socket: paths.agentSocket, kubeletDir, operator, gateway, counted, clock, log, signal };
  running.use(await serveTickets(tickets));

  let backend: Backend | undefined;
  const readiness =
    gpus === undefined ? {} : { gpus: () => (backend === undefined ? 'not looked at yet' : backend.trouble()) };
  backendMetrics(metrics, config.nodeName, () => backend);
  const probes = running.use(await serveProbes({ listen: config.listen, readiness, metrics }));
  log.info('agent started', { node: config.nodeName, port: probes.port, gpus: gpus !== undefined });
  if (gpus !== undefined) backend = await startGpus(options, { gpus, paths, operator, metrics }, running);
  await aborted(signal);
  log.info('agent stops');
}

const operatorOf = ({ config, clock, signal }: AgentOptions): OperatorClient =>
  operatorClient({
    address: config.operator,
    caPem: readFileSync(config.operatorCa, 'utf8'),
    serverName: config.operatorName,
    token: () => readFile(config.operatorToken, 'utf8'),
    clock,
    signal,
    patienceMs: OPERATOR_PATIENCE_MS,
  });

interface NodeGpus {
  readonly worker: string;
  readonly source: GpuSource;
}

function gpusOf({ config, env }: AgentOptions, paths: AgentPaths): NodeGpus | undefined {
  const { gpus, softwareGpus: wanted } = config;
  if (gpus === 'none' && wanted === undefined) return undefined;
  const prefix = installPrefix(env['AQUIFER_PREFIX']);
  if (wanted === undefined) return { worker: prefix.worker, source: NVIDIA };
  const setting = `${wanted.count}x${formatBytes(wanted.memoryBytes)}`;
  const place = { prefix, stateDir: paths.softwareGpus, env };
  return { worker: prefix.worker, source: softwareGpus(setting, place) };
}

interface GpuParts {
  readonly gpus: NodeGpus;
  readonly paths: AgentPaths;
  readonly operator: OperatorClient;
  readonly metrics: Metrics;
}

async function startGpus(
  { config, clock, log, signal }: AgentOptions,
  { gpus, paths, operator, metrics }: GpuParts,
  running: AsyncDisposableStack,
): Promise<Backend> {
  const access = serviceAccount(config.apiServer, config.serviceAccountDir);
  const connection = running.use(connect({ loadConfig: () => access, clock }));
  const started = await startGpuNode({
    node: config.nodeName,
    namespace: config.namespace,
    endpoint: config.endpoint,
    heartbeatMs: config.heartbeatInterval.ms,
    paths,
    worker: gpus.worker,
    gpus: gpus.source,
    operator,
    connection,
    clock,
    log,
    onSession: sessionCounts(metrics),
    signal,
  });
  return running.use(started);
}

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
