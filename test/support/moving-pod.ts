import { NODES, type NodeName } from '../cluster/topology.ts';
import type { ChartCluster } from './chart-cluster.ts';
import { eventually } from './eventually.ts';

const LONG_MS = 300_000;
const NAME = 'moves';

interface ListedPod {
  readonly metadata: { readonly name: string; readonly uid: string; readonly deletionTimestamp?: string };
  readonly spec: { readonly nodeName?: string };
}

/** A Deployment of one pod that computes: where its node goes, another takes its place. */
export class MovingPod {
  readonly #chart: ChartCluster;
  #uid: string | undefined;

  constructor(chart: ChartCluster) {
    this.#chart = chart;
  }

  /** Begins on that node, and resolves when it computes there. */
  async startOn(node: NodeName): Promise<void> {
    const others = NODES.map(({ name }) => name).filter((name) => name !== node);
    await this.#chart.kubectl('cordon', ...others);
    await this.#chart.kubectl('delete', 'deployment', NAME, '--ignore-not-found', '--cascade=foreground');
    await this.#chart.apply(this.#deployment());
    await this.computes(node);
    await this.#chart.kubectl('uncordon', ...others);
  }

  /** Waits until the one pod computes on that node. */
  async computes(node: NodeName): Promise<void> {
    const found = await eventually(
      () => this.#pod(),
      async (pod) => pod?.spec.nodeName === node && /^vGPU: /m.test(await this.#log(pod)),
      LONG_MS,
    );
    this.#uid = found?.metadata.uid;
  }

  /** Waits until another pod is there in the place of the one that computed. */
  async isReplaced(): Promise<void> {
    await eventually(
      () => this.#pod(),
      (pod) => pod !== undefined && pod.metadata.uid !== this.#uid,
      LONG_MS,
    );
  }

  async remove(): Promise<void> {
    await this.#chart.kubectl('delete', 'deployment', NAME, '--cascade=foreground');
  }

  async #pod(): Promise<ListedPod | undefined> {
    const { items } = JSON.parse(
      await this.#chart.kubectl('get', 'pods', `--selector=app=${NAME}`, '--output=json'),
    ) as { readonly items: readonly ListedPod[] };
    return items.find(({ metadata }) => metadata.deletionTimestamp === undefined);
  }

  #log({ metadata }: ListedPod): Promise<string> {
    return this.#chart.kubectl('logs', metadata.name).catch(() => '');
  }

  #deployment(): object {
    const { metadata, spec } = this.#chart.pod({ name: NAME, command: ['/program/steady', '0', '16'] });
    const labels = { app: NAME };
    return {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: NAME, namespace: 'default' },
      spec: {
        selector: { matchLabels: labels },
        template: {
          metadata: { labels, annotations: metadata.annotations },
          spec: { ...spec, restartPolicy: 'Always' },
        },
      },
    };
  }
}
