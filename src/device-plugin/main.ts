import { devicePluginSchema, type DevicePluginConfig } from '../config/device-plugin.ts';
import { runProcess } from '../config/run-process.ts';
import { createLog } from '../log/log.ts';
import { createMetrics } from '../metrics/registry.ts';
import { serveProbes } from '../runtime/probe-server.ts';
import { systemClock } from '../runtime/system-clock.ts';
import { pluginCounts, pluginGauges } from './metrics.ts';
import { removeOldClients } from './old-clients.ts';
import { startDevicePlugin } from './plugin.ts';

const HELP = {
  usage: 'aquifer device-plugin [flags]',
  summary: "Offers the node's slots and slices to kubelet, until it is stopped by SIGINT or SIGTERM.",
};

process.exitCode = await runProcess({ schema: devicePluginSchema, help: HELP, run });

async function run({ logLevel, listen, ...paths }: DevicePluginConfig, signal: AbortSignal): Promise<void> {
  const stopped = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
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
  await removeOldClients({ ...paths, log });
  await stopped;
  log.info('device plugin stops');
}
