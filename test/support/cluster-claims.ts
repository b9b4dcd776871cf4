import type { GPUNode, VGPUClaim } from '../../src/api/kinds.ts';
import { bytesOf } from '../../src/api/quantity.ts';
import type { ChartCluster } from './chart-cluster.ts';
import { eventually } from './eventually.ts';

const LONG_MS = 300_000;

/** A claim of the namespace `default`. */
export const claimManifest = (name: string, memory: string, compute: number): object => ({
  apiVersion: 'aquifer.dev/v1alpha1',
  kind: 'VGPUClaim',
  metadata: { name, namespace: 'default', labels: { named: 'true' } },
  spec: { poolName: 'default', resources: { memory, compute } },
});

/** The claims of a cluster, and what they take. */
export class ClusterClaims {
  readonly #chart: ChartCluster;

  constructor(chart: ChartCluster) {
    this.#chart = chart;
  }

  async list(): Promise<readonly VGPUClaim[]> {
    return this.#items('vgpuclaims');
  }

  async get(name: string): Promise<VGPUClaim | undefined> {
    return (await this.list()).find(({ metadata }) => metadata.name === name);
  }

  /** Waits until a claim is in this phase, and returns it. */
  async inPhase(name: string, phase: string): Promise<VGPUClaim | undefined> {
    return eventually(
      () => this.get(name),
      (claim) => claim?.status?.phase === phase,
      LONG_MS,
    );
  }

  /** Waits until as much is bound as fits, and returns all. @throws Error when more is promised than there is. */
  async settled(): Promise<readonly VGPUClaim[]> {
    return eventually(
      () => this.list(),
      async (claims) => {
        const free = await this.#free(claims);
        const isSettled = (claim: VGPUClaim): boolean => claim.status?.phase === 'Bound' || !free.some(fits(claim));
        return claims.every((claim) => claim.status?.phase !== undefined && isSettled(claim));
      },
      LONG_MS,
    );
  }

  /** Waits until no claim is left, and the pool has promised nothing. */
  async allGivenBack(): Promise<void> {
    await eventually(
      () => this.list(),
      ({ length }) => length === 0,
      LONG_MS,
    );
    const promised = () =>
      this.#chart.kubectl(
        'get',
        'gpool',
        'default',
        '--output=jsonpath={.status.promised.memory} {.status.promised.compute}',
      );
    await eventually(promised, (text) => text === '0 0', LONG_MS);
  }

  /** What is left of each GPU. */
  async #free(claims: readonly VGPUClaim[]): Promise<readonly Free[]> {
    const nodes = await this.#items<GPUNode>('gpunodes');
    const gpus = nodes.flatMap(({ status }) => status?.gpus ?? []);
    const allocations = claims.flatMap(({ status }) => status?.allocations ?? []);
    return gpus.map(({ uuid, memory }) => {
      const mine = allocations.filter(({ gpu }) => gpu === uuid);
      const memoryBytes = mine.reduce((left, each) => left - bytesOf(each.memory), bytesOf(memory));
      const compute = mine.reduce((left, each) => left - each.compute, 100);
      if (memoryBytes < 0 || compute < 0) throw new Error(`${uuid} has ${memoryBytes} bytes and ${compute} % left`);
      return { memoryBytes, compute };
    });
  }

  async #items<T = VGPUClaim>(kind: string): Promise<readonly T[]> {
    const { items } = JSON.parse(await this.#chart.kubectl('get', kind, '--output=json')) as {
      readonly items: readonly T[];
    };
    return items;
  }
}

interface Free {
  readonly memoryBytes: number;
  readonly compute: number;
}

const fits =
  ({ spec: { resources } }: VGPUClaim) =>
  ({ memoryBytes, compute }: Free): boolean =>
    bytesOf(resources.memory) <= memoryBytes && resources.compute <= compute;
