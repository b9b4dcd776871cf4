import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { helpText, wantsHelp } from '../config/help.ts';
import { loadConfig } from '../config/load.ts';
import { operatorSchema, type OperatorConfig } from '../config/operator.ts';
import { connect } from '../kube/connection.ts';
import { leaseStore } from '../kube/lease.ts';
import { loadKubeConfig } from '../kube/load-config.ts';
import { kindResources, podResources } from '../kube/resource.ts';
import { kubeStore } from '../kube/store.ts';
import { createLog } from '../log/log.ts';
import { createMetrics } from '../metrics/registry.ts';
import { serveProbes } from '../runtime/probe-server.ts';
import { systemClock } from '../runtime/system-clock.ts';
import { apiContact } from './api-contact.ts';
import { operatorMetrics } from './metrics.ts';
import { noSessions } from './no-sessions.ts';
import { startReplica, type Replica } from './replica.ts';

const MANAGER = 'aquifer-operator';

const HELP = {
  usage: 'aquifer operator [flags]',
  summary:
    'Binds the claims of a Kubernetes cluster to its GPUs, until it is stopped by SIGTERM. Of several replicas one works ' +
    'at a time; the others take over when it is gone.',
};

process.exitCode = await main(process.argv.slice(2));

async function main(argv: readonly string[]): Promise<number> {
  if (wantsHelp(argv)) {
    process.stdout.write(helpText(operatorSchema, HELP));
    return 0;
  }
  const config = loadConfig(operatorSchema, { argv, env: process.env, readFile: (path) => readFileSync(path, 'utf8') });
  if (!config.ok) {
    for (const { source, message } of config.error) process.stderr.write(`error: ${source}: ${message}\n`);
    return 2;
  }
  const stopped = new AbortController();
  process.on('SIGINT', () => stopped.abort());
  process.on('SIGTERM', () => stopped.abort());
  try {
    await run(config.value, stopped.signal);
    return 0;
  } catch (error) {
    process.stderr.write(`error: ${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  }
}

async function run(config: OperatorConfig, signal: AbortSignal): Promise<void> {
  const log = createLog({ level: config.logLevel });
  const metrics = createMetrics();
  const contact = apiContact(systemClock, metrics);
  using connection = connect({
    loadConfig: () => loadKubeConfig(config.kubeconfig),
    clock: systemClock,
    onExchange: contact.onExchange,
  });
  let replica: Replica | undefined;
  const counts = operatorMetrics(metrics, () => replica?.stats());
  await using probes = await serveProbes({ listen: config.listen, readiness: { api: contact.check }, metrics });
  log.info('standing by', { port: probes.port, lease: `${config.leaseNamespace}/${config.leaseName}` });

  replica = startReplica(
    {
      store: kubeStore({ connection, clock: systemClock, manager: MANAGER, resources: kindResources }),
      pods: kubeStore({ connection, clock: systemClock, manager: MANAGER, resources: podResources }),
      lease: leaseStore(connection, { namespace: config.leaseNamespace, name: config.leaseName }),
      identity: `${hostname()}_${randomUUID()}`,
      leaseDurationMs: config.leaseDuration.ms,
      sessions: noSessions,
      clock: systemClock,
      log,
      agentGraceMs: config.agentGracePeriod.ms,
      releaseTimeoutMs: config.releaseTimeout.ms,
      ...counts,
    },
    signal,
  );
  await replica.ended;
  log.info('stopped', {});
}
