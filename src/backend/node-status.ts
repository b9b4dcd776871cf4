import type { GPUNode } from '../api/kinds.ts';
import { bytesOf, formatBytes } from '../api/quantity.ts';
import type { Gpu } from './gpu.ts';

type NodeStatus = NonNullable<GPUNode['status']>;

/** Who reports. */
export interface Agent {
  readonly version: string;
  /** Where the gateway listens: `host:port`, or `unix:/path` where it listens for this host only. */
  readonly endpoint: string;
}

/** The agent's part of a GPUNode's status; the rest is the operator's. */
export function agentStatus(agent: Agent, gpus: readonly Gpu[]): Pick<NodeStatus, 'agent' | 'gpus'> {
  return {
    agent: { ...agent },
    gpus: gpus.map(({ memoryBytes, reason, driverVersion, ...gpu }) => ({
      ...gpu,
      memory: formatBytes(memoryBytes),
      ...(reason === undefined ? {} : { reason }),
      ...(driverVersion === undefined ? {} : { driverVersion }),
    })),
  };
}

/** The GPUs that the node had when its agent last reported. */
export function publishedGpus(node: GPUNode | undefined): readonly Gpu[] {
  return (node?.status?.gpus ?? []).map(({ memory, ...gpu }) => ({ ...gpu, memoryBytes: bytesOf(memory) }));
}
