import type { Metrics } from '../metrics/registry.ts';
import type { PluginCounts } from './counts.ts';
import type { DevicePlugin } from './plugin.ts';
import { shortfall } from './slice-list.ts';

const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

export function pluginCounts(metrics: Metrics): PluginCounts {
  const registered = metrics.counter({
    name: 'aquifer_device_plugin_registrations_total',
    help: 'Registrations that kubelet has taken; more than one a resource when kubelet or this process has restarted.',
    labels: ['resource'],
  });
  const allocated = metrics.counter({
    name: 'aquifer_device_plugin_allocations_total',
    help: 'Containers that kubelet has given IDs of the resource.',
    labels: ['resource'],
  });
  const prepared = metrics.histogram({
    name: 'aquifer_device_plugin_slot_preparation_seconds',
    help: 'How long the starts of containers waited for a fresh socket in their slot, by how it ended.',
    labels: ['outcome'],
    buckets: SECONDS,
  });
  return {
    registered: (resource) => registered({ resource }),
    allocated: (resource) => allocated({ resource }),
    prepared: (outcome, seconds) => prepared({ outcome }, seconds),
  };
}

/** What is read from the plugin whenever somebody asks. */
export function pluginGauges(metrics: Metrics, plugin: Pick<DevicePlugin, 'watched' | 'slices'>): void {
  metrics.gauge(
    {
      name: 'aquifer_device_plugin_watched',
      help: '1 while kubelet watches the resource; 0: no pod can get it.',
      labels: ['resource'],
    },
    () => [...plugin.watched()].map(([resource, isWatched]) => [{ resource }, Number(isWatched)]),
  );
  metrics.gauge(
    {
      name: 'aquifer_device_plugin_slices',
      help: 'Slices of the node: Offered to pods, Withheld for claims, and Short: had by pods though promised to claims.',
      labels: ['state'],
    },
    () => {
      const list = plugin.slices();
      return [
        [{ state: 'Offered' }, list.listed.length - list.withheld.length],
        [{ state: 'Withheld' }, list.withheld.length],
        [{ state: 'Short' }, shortfall(list)],
      ];
    },
  );
}
