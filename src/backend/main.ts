import { readFileSync } from 'node:fs';
import { backendSchema } from '../config/backend.ts';
import { helpText, wantsHelp } from '../config/help.ts';
import { loadConfig } from '../config/load.ts';
import { createLog } from '../log/log.ts';
import { systemClock } from '../runtime/system-clock.ts';
import { runAgent } from './agent.ts';

const HELP = {
  usage: 'aquifer backend [flags]',
  summary:
    "The agent of a node of a Kubernetes cluster, until it is stopped by SIGTERM: has the tickets of the node's containers and, " +
    'where there are GPUs, admits and meters the sessions on them.',
};

process.exitCode = await main(process.argv.slice(2));

async function main(argv: readonly string[]): Promise<number> {
  if (wantsHelp(argv)) {
    process.stdout.write(helpText(backendSchema, HELP));
    return 0;
  }
  const config = loadConfig(backendSchema, { argv, env: process.env, readFile: (path) => readFileSync(path, 'utf8') });
  if (!config.ok) {
    for (const { source, message } of config.error) process.stderr.write(`error: ${source}: ${message}\n`);
    return 2;
  }
  const stopped = new AbortController();
  process.on('SIGINT', () => stopped.abort());
  process.on('SIGTERM', () => stopped.abort());
  try {
    const log = createLog({ level: config.value.logLevel });
    await runAgent({ config: config.value, env: process.env, clock: systemClock, log, signal: stopped.signal });
    return 0;
  } catch (error) {
    process.stderr.write(`error: ${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  }
}
