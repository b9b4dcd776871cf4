import { readFileSync } from 'node:fs';
import { devicePluginSchema, type DevicePluginConfig } from '../config/device-plugin.ts';
import { helpText, wantsHelp } from '../config/help.ts';
import { loadConfig } from '../config/load.ts';
import { createLog } from '../log/log.ts';
import { createMetrics } from '../metrics/registry.ts';
import { serveProbes } from '../runtime/probe-server.ts';
import { systemClock } from '../runtime/system-clock.ts';
import { pluginCounts, pluginGauges } from './metrics.ts';
import { startDevicePlugin } from './plugin.ts';

const HELP = {
  usage: 'aquifer device-plugin [flags]',
  summary: "Offers the node's slots and slices to kubelet, until it is stopped by SIGINT or SIGTERM.",
};

process.exitCode = await main(process.argv.slice(2));

async function main(argv: readonly string[]): Promise<number> {
  if (wantsHelp(argv)) {
    process.stdout.write(helpText(devicePluginSchema, HELP));
    return 0;
  }
  const readFile = (path: string): string => readFileSync(path, 'utf8');
  const config = loadConfig(devicePluginSchema, { argv, env: process.env, readFile });
  if (!config.ok) {
    for (const { source, message } of config.error) process.stderr.write(`error: ${source}: ${message}\n`);
    return 2;
  }
  await run(config.value);
  return 0;
}

async function run({ logLevel, listen, ...paths }: DevicePluginConfig): Promise<void> {
  const stopped = new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => resolve());
  });
  const log = createLog({ level: logLevel });
  const metrics = createMetrics();
  await using plugin = await startDevicePlugin({ ...paths, clock: systemClock, log, counts: pluginCounts(metrics) });
  pluginGauges(metrics, plugin);
  const unwatched = (): string | undefined => {
    const missing = [...plugin.watched()].filter(([, isWatched]) => !isWatched).map(([resource]) => resource);
    return missing.length === 0 ? undefined : `kubelet does not watch ${missing.join(', ')}`;
  };
  await using _ = await serveProbes({ listen, readiness: { kubelet: unwatched }, metrics });
  log.info('device plugin started');
  await stopped;
  log.info('device plugin stops');
}
