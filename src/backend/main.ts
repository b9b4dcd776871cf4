import { backendSchema, type BackendConfig } from '../config/backend.ts';
import { runProcess } from '../config/run-process.ts';
import { createLog } from '../log/log.ts';
import { systemClock } from '../runtime/system-clock.ts';
import { runAgent } from './agent.ts';

const HELP = {
  usage: 'aquifer backend [flags]',
  summary:
    "The agent of a node of a Kubernetes cluster, until it is stopped by SIGTERM: has the tickets of the node's containers and, " +
    'where there are GPUs, admits and meters the sessions on them.',
};

process.exitCode = await runProcess({ schema: backendSchema, help: HELP, run });

async function run(config: BackendConfig, signal: AbortSignal): Promise<void> {
  const log = createLog({ level: config.logLevel });
  await runAgent({ config, env: process.env, clock: systemClock, log, signal });
}
