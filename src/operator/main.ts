import { runProcess } from '../config/run-process.ts';
import { operatorSchema, type OperatorConfig } from '../config/operator.ts';
import { connect } from '../kube/connection.ts';
import { loadKubeConfig } from '../kube/load-config.ts';
import { createLog } from '../log/log.ts';
import { createMetrics } from '../metrics/registry.ts';
import { serveProbes } from '../runtime/probe-server.ts';
import { systemClock } from '../runtime/system-clock.ts';
import { apiContact } from './api-contact.ts';
import { runCluster } from './cluster.ts';
import { nodeCallCounts, operatorMetrics } from './metrics.ts';
import type { Replica } from './replica.ts';

const HELP = {
  usage: 'aquifer operator [flags]',
  summary:
    'Binds the claims of a Kubernetes cluster to its GPUs, until it is stopped by SIGTERM. Of several replicas one works ' +
    'at a time; the others take over when it is gone.',
};

process.exitCode = await runProcess({ schema: operatorSchema, help: HELP, run });

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
  const counts = operatorMetrics(metrics, () => replica?.lead()?.operator.stats());
  await using probes = await serveProbes({ listen: config.listen, readiness: { api: contact.check }, metrics });
  log.info('standing by', { port: probes.port, lease: `${config.namespace}/${config.leaseName}` });
  const started = (now: Replica): void => void (replica = now);
  const onCall = nodeCallCounts(metrics);
  await runCluster({ config, connection, clock: systemClock, log, signal, started, onCall, ...counts });
  log.info('stopped', {});
}
