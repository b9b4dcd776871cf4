import type { TicketRequest } from '../../src/api/cluster-kinds.ts';
import type { GPUNode, GPUPool, VGPUClaim } from '../../src/api/kinds.ts';
import { API_VERSION, type ObjectMeta } from '../../src/api/meta.ts';
import { SCHEDULING_GATE, type Pod } from '../../src/api/pod.ts';
import { RELEASE_FINALIZER } from '../../src/api/vgpu-claim.ts';
import type { Log } from '../../src/lib/log.ts';

const CREATED = '2026-01-01T00:00:00Z';

const meta = (name: string, more: Partial<ObjectMeta> = {}): ObjectMeta => ({
  name,
  uid: `uid-${name}`,
  resourceVersion: '1',
  generation: 1,
  creationTimestamp: CREATED,
  ...more,
});

interface ClaimOverrides {
  readonly metadata?: Partial<ObjectMeta>;
  readonly spec?: Partial<VGPUClaim['spec']>;
  readonly status?: VGPUClaim['status'];
}

/** A stored claim: 4Gi and 25 % of one GPU of the pool `default`, with our finalizer on. */
export function claim(name = 'trainer', { metadata, spec, status }: ClaimOverrides = {}): VGPUClaim {
  return {
    apiVersion: API_VERSION,
    kind: 'VGPUClaim',
    metadata: meta(name, { namespace: 'team-a', finalizers: [RELEASE_FINALIZER], ...metadata }),
    spec: {
      access: 'Any',
      poolName: 'default',
      vgpus: 1,
      resources: { memory: '4Gi', compute: 25 },
      mode: 'Reserved',
      vgpuPlacement: 'Distinct',
      ...spec,
    },
    ...(status === undefined ? {} : { status }),
  };
}

/** A stored request for a ticket for `trainer`, which nobody has answered yet. */
export const ticketRequest = (more: Partial<TicketRequest> = {}): TicketRequest => ({
  apiVersion: API_VERSION,
  kind: 'TicketRequest',
  metadata: meta('trainer-1', { namespace: 'team-a' }),
  spec: { claimName: 'trainer', holderKey: 'A'.repeat(43), expirationSeconds: 600 },
  ...more,
});

/** The status of a claim that has 4Gi and 25 % of GPU-a on node gpu-1. */
export function boundTo(gpu = 'GPU-a', more: { node?: string; boundAt?: string; memory?: string } = {}) {
  const { node = 'gpu-1', boundAt = CREATED, memory = '4Gi' } = more;
  return {
    phase: 'Bound',
    observedGeneration: 1,
    allocations: [{ vgpu: 0, node, gpu, memory, compute: 25, endpoint: `${node}:9960` }],
    conditions: [
      {
        type: 'Bound',
        status: 'True',
        reason: 'Bound',
        message: `bound to ${gpu} of ${node}`,
        observedGeneration: 1,
        lastTransitionTime: boundAt,
      },
    ],
  } as const satisfies VGPUClaim['status'];
}

export function pool(name = 'default', spec: Partial<GPUPool['spec']> = {}): GPUPool {
  return {
    apiVersion: API_VERSION,
    kind: 'GPUPool',
    metadata: meta(name),
    spec: {
      sharing: 'Forwarded',
      slicesPerGPU: 100,
      oversubscription: { compute: 100, memory: 100 },
      placement: 'Pack',
      ...spec,
    },
  };
}

interface GpuOverrides {
  readonly memory?: string;
  readonly model?: string;
  readonly healthy?: boolean;
  readonly reason?: string;
}

export const gpu = (uuid: string, index = 0, more: GpuOverrides = {}) => ({
  uuid,
  index,
  model: 'Aquifer Software GPU',
  memory: '8Gi',
  computeCapability: '8.0',
  healthy: true,
  ...more,
});

/** A node whose agent has reported GPU-a and GPU-b of 8Gi each, and which the operator found ready. */
export function node(
  name = 'gpu-1',
  status: Partial<GPUNode['status']> = {},
  ready: 'True' | 'False' = 'True',
): GPUNode {
  return {
    apiVersion: API_VERSION,
    kind: 'GPUNode',
    metadata: meta(name),
    spec: {},
    status: {
      agent: { version: '0.1.0', endpoint: `${name}:9960` },
      gpus: [gpu('GPU-a', 0), gpu('GPU-b', 1)],
      conditions: [
        {
          type: 'Ready',
          status: ready,
          reason: ready === 'True' ? 'AgentReady' : 'AgentLost',
          message: 'as the test has it',
          lastTransitionTime: CREATED,
        },
      ],
      ...status,
    },
  };
}

/** A logger that keeps what it was told. */
export function recordingLog(): Log & { readonly lines: { level: string; text: string; fields: unknown }[] } {
  const lines: { level: string; text: string; fields: unknown }[] = [];
  const at = (level: string) => (text: string, fields?: unknown) => void lines.push({ level, text, fields });
  return { lines, error: at('error'), warn: at('warn'), info: at('info'), debug: at('debug') };
}

interface PodOverrides {
  readonly gated?: boolean;
  readonly phase?: string;
}

/** A pod of one container, with our gate on. */
export function pod(name: string, annotations: Readonly<Record<string, string>> = {}, more: PodOverrides = {}): Pod {
  const { gated = true, phase = 'Pending' } = more;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace: 'team-a',
      uid: `uid-${name}`,
      resourceVersion: '1',
      creationTimestamp: CREATED,
      annotations,
    },
    spec: { containers: [{ name: 'main' }], schedulingGates: gated ? [{ name: SCHEDULING_GATE }] : [] },
    status: { phase },
  };
}
