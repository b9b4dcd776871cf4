import { NODES } from '../cluster/topology.ts';
import type { ChartCluster } from './chart-cluster.ts';
import { eventually } from './eventually.ts';

const LONG_MS = 300_000;

/** What the chart's processes are started by: all but the spawner, whose end is the end of all programs. */
const PROCESSES = [
  '/usr/local/libexec/aquifer/node .*/js/device-plugin/main.js',
  '/usr/local/libexec/aquifer/keeper ', // It has started the plugin again, and takes it along.
  '/usr/local/libexec/aquifer/node .*/js/backend/main.js',
  '/usr/local/libexec/aquifer/node .*/js/operator/main.js',
  '/usr/local/bin/aquifer-connector ',
  '/usr/local/libexec/aquifer/gateway ',
];
/** Of the node's own processes. A container's first process is reached from outside its pid namespace alone. */
const KILL =
  'for p in /proc/[0-9]*; do if tr "\\0" " " < $p/cmdline | grep -q "^$1"; then kill -9 ${p#/proc/}; fi; done';

interface OurPod {
  readonly metadata: { readonly name: string; readonly uid: string; readonly deletionTimestamp?: string };
  readonly status: {
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
    readonly containerStatuses?: readonly { readonly name: string; readonly restartCount: number }[];
  };
}

/** The pods that the chart has started. */
export class OurPods {
  readonly #chart: ChartCluster;

  constructor(chart: ChartCluster) {
    this.#chart = chart;
  }

  /** Deletes all pods of a component, and waits until as many others are ready. */
  async replace(component: string): Promise<void> {
    const before = await this.#list(component);
    const old = new Set(before.map(({ metadata }) => metadata.uid));
    await this.#chart.system('delete', 'pod', ...before.map(({ metadata }) => metadata.name), '--wait=false');
    await eventually(
      () => this.#list(component),
      (pods) =>
        pods.filter((pod) => !old.has(pod.metadata.uid) && isReady(pod)).length === before.length &&
        pods.length === before.length,
      LONG_MS,
    );
  }

  /** kill -9 of each process but the spawner, and waits until kubelet has started all of them again. */
  async killEach(): Promise<void> {
    const before = await this.restarts();
    for (const process of PROCESSES) {
      for (const { name } of NODES) await this.#chart.cluster.enter(name, ['sh', '-c', KILL, 'sh', process]);
    }
    const isRestarted = (now: Readonly<Record<string, number>>): boolean =>
      Object.entries(before).every(([name, count]) => name.endsWith('/spawner') || (now[name] ?? 0) > count);
    await eventually(() => this.restarts(), isRestarted, LONG_MS);
    await eventually(
      () => this.#list(),
      (pods) => pods.every(isReady),
      LONG_MS,
    );
  }

  /** How often each container was started again. */
  async restarts(): Promise<Readonly<Record<string, number>>> {
    const pods = await this.#list();
    return Object.fromEntries(
      pods.flatMap(({ metadata, status }) =>
        (status.containerStatuses ?? []).map(({ name, restartCount }) => [`${metadata.name}/${name}`, restartCount]),
      ),
    );
  }

  async #list(component?: string): Promise<readonly OurPod[]> {
    const words = component === undefined ? [] : [`--selector=app.kubernetes.io/component=${component}`];
    const { items } = JSON.parse(await this.#chart.system('get', 'pods', '--output=json', ...words)) as {
      readonly items: readonly OurPod[];
    };
    return items;
  }
}

const isReady = ({ metadata, status }: OurPod): boolean =>
  metadata.deletionTimestamp === undefined &&
  status.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') === true;
