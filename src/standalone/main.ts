import { formatBytes } from '../api/quantity.ts';
import { runProcess } from '../config/run-process.ts';
import { serveSchema, type ServeConfig } from '../config/serve.ts';
import { createLog } from '../log/log.ts';
import { systemClock } from '../runtime/system-clock.ts';
import { StoreError } from '../runtime/store.ts';
import { dataDirAt } from './data-dir.ts';
import { NoGpus, nvidiaGpus, softwareGpus, type GpuSource } from '../backend/gpu-source.ts';
import { installPrefix, type InstallPrefix } from '../backend/install-prefix.ts';
import { serve } from './serve.ts';

const HELP = {
  usage: 'aquifer serve [flags]',
  summary:
    'Pools the GPUs of this host and serves claims, until it is stopped by SIGINT, SIGTERM or the end of its terminal, which ends all programs on ' +
    'vGPUs. Killed, it ends none of them: the next serve on the same data directory takes them over.',
  examples: ['aquifer serve', 'aquifer serve --software-gpus 2x8Gi', 'aquifer serve --listen 0.0.0.0:9960'],
};

const say = (line: string): void => void process.stdout.write(`${line}\n`);

/** Whom we print for may leave, and a full disk may be where we print to: neither is a reason to stop serving. */
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);

process.exitCode = await runProcess({ schema: serveSchema, help: HELP, run, explain });

async function run(config: ServeConfig, stopped: AbortSignal): Promise<void> {
  // The terminal was closed, which stops a program unless nohup started it.
  const hungUp = new AbortController();
  process.on('SIGHUP', () => {
    if (process.env['AQUIFER_IGNORE_SIGHUP'] === undefined) hungUp.abort();
  });
  const signal = AbortSignal.any([stopped, hungUp.signal]);
  const prefix = installPrefix(process.env['AQUIFER_PREFIX']);
  const gpus = await gpusOf(config, prefix);
  const log = createLog({ level: config.logLevel, stream: process.stderr });
  await serve({ config, prefix, gpus, clock: systemClock, log, signal, say });
}

function gpusOf({ softwareGpus: wanted, dataDir }: ServeConfig, prefix: InstallPrefix): Promise<GpuSource> {
  if (wanted === undefined) return nvidiaGpus(prefix.worker);
  const setting = `${wanted.count}x${formatBytes(wanted.memoryBytes)}`;
  return Promise.resolve(
    softwareGpus(setting, { prefix, stateDir: dataDirAt(dataDir).softwareGpus, env: process.env }),
  );
}

function explain(error: unknown): { readonly line: string; readonly code: number } {
  if (error instanceof NoGpus) return { line: error.message, code: 2 };
  const expected = error instanceof StoreError || (error instanceof Error && error.name === 'Error');
  const line = expected
    ? error.message
    : `serve failed: ${error instanceof Error ? (error.stack ?? '') : String(error)}`;
  return { line, code: 1 };
}
