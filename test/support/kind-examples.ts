import type { ClusterKind } from '../../src/api/cluster-kinds.ts';

/**
 * Objects that every store must take, and objects that every store must refuse, with the field and the words. They
 * drive the tests of the rules, of the embedded store and of a real API server alike.
 */
export interface Example {
  readonly name: string;
  readonly kind: ClusterKind;
  readonly object: JsonObject;
  /** The stored object that `object` replaces. */
  readonly old?: JsonObject;
}

export interface RefusedExample extends Example {
  /** The rule that refuses it. */
  readonly rule: string;
  readonly field: string;
  readonly message: string;
}

export type JsonObject = { readonly [key: string]: unknown };

const API_VERSION = 'aquifer.dev/v1alpha1';

const pool = (spec: object = {}, status?: object, name = 'default'): JsonObject => ({
  apiVersion: API_VERSION,
  kind: 'GPUPool',
  metadata: { name },
  spec,
  ...(status === undefined ? {} : { status }),
});

const node = (status?: object): JsonObject => ({
  apiVersion: API_VERSION,
  kind: 'GPUNode',
  metadata: { name: 'gpu-1', labels: { 'aquifer.dev/gpu': 'true' } },
  spec: {},
  ...(status === undefined ? {} : { status }),
});

const claim = (spec: object = {}, status?: object, name = 'trainer'): JsonObject => ({
  apiVersion: API_VERSION,
  kind: 'VGPUClaim',
  metadata: { name, namespace: 'team-a' },
  spec: { poolName: 'default', resources: { memory: '8Gi', compute: 30 }, ...spec },
  ...(status === undefined ? {} : { status }),
});

const ticketRequest = (spec: object = {}, status?: object): JsonObject => ({
  apiVersion: API_VERSION,
  kind: 'TicketRequest',
  metadata: { name: 'trainer-1', namespace: 'team-a' },
  spec: { claimName: 'trainer', holderKey: 'A'.repeat(43), ...spec },
  ...(status === undefined ? {} : { status }),
});

const condition = {
  type: 'Ready',
  status: 'True',
  observedGeneration: 1,
  lastTransitionTime: '2026-01-31T12:00:00Z',
  reason: 'Ready',
  message: '2 GPUs on 1 node',
};

const allocation = (vgpu: number) => ({
  vgpu,
  node: 'gpu-1',
  gpu: `GPU-${vgpu}`,
  memory: '8Gi',
  compute: 30,
  endpoint: 'gpu-1:9960',
});

const gpu = (memory: string) => ({
  uuid: 'GPU-0',
  index: 0,
  model: 'Aquifer Software GPU',
  memory,
  computeCapability: '8.0',
  healthy: false,
  reason: 'XID79',
  driverVersion: '580.65',
});

const bound = { phase: 'Bound', observedGeneration: 1, allocations: [allocation(0)] };

/** One example of each kind with every field there is: constraints are tried by spoiling one of its fields. */
export const fullExamples: Readonly<Record<ClusterKind, JsonObject>> = {
  GPUPool: pool(
    {
      nodeSelector: { matchLabels: { 'aquifer.dev/gpu': 'true' } },
      sharing: 'Forwarded',
      slicesPerGPU: 50,
      oversubscription: { compute: 200, memory: 90 },
      placement: 'Spread',
    },
    {
      observedGeneration: 1,
      nodes: 1,
      gpus: 2,
      capacity: { memory: '16Gi', compute: 400 },
      promised: { memory: '8Gi', compute: 30 },
      claims: { bound: 1, pending: 0 },
      conditions: [condition],
    },
  ),
  GPUNode: node({
    observedGeneration: 1,
    agent: { version: '0.1.0', endpoint: 'gpu-1:9960' },
    gpus: [gpu('8Gi')],
    promised: [{ uuid: 'GPU-0', memory: '8Gi', compute: 30, claims: 1 }],
    slices: { capacity: 100, withdrawn: 30 },
    slicesOffered: 70,
    conditions: [condition],
  }),
  VGPUClaim: claim(
    {
      vgpus: 1,
      mode: 'Reserved',
      access: 'Local',
      vgpuPlacement: 'Shared',
      gpuSelector: { model: ['Aquifer Software GPU', 'NVIDIA A'], minMemory: '8Gi' },
      slices: { count: 30, nodeName: 'gpu-1' },
      gracePeriodSeconds: 60,
      nested: {
        shares: [{ name: 'small', memory: '2Gi', compute: 10, maxSessions: 4 }],
        defaultShare: 'small',
        maxSessions: 16,
        oversubscribe: true,
      },
    },
    { ...bound, conditions: [{ ...condition, type: 'Bound', reason: 'Bound' }] },
  ),
  TicketRequest: ticketRequest(
    { expirationSeconds: 60 },
    {
      ticket: 'a.b.c',
      ca: 'PEM',
      endpoints: [{ node: 'gpu-1', address: 'gpu-1:9960' }],
      conditions: [{ ...condition, type: 'Issued', reason: 'Issued' }],
    },
  ),
};

const answered = { ticket: 'a.b.c', conditions: [{ ...condition, type: 'Issued', reason: 'Issued' }] };

const share = (name: string, memory: string, compute: number) => ({ name, memory, compute });

const minimal = (kind: ClusterKind, name: string): JsonObject => ({
  apiVersion: API_VERSION,
  kind,
  metadata: { name },
});

const ticketRequestExamples: readonly Example[] = [
  { name: 'a request for a ticket with what is required', kind: 'TicketRequest', object: ticketRequest() },
  { name: 'a request for a ticket with every field', kind: 'TicketRequest', object: fullExamples.TicketRequest },
  {
    name: 'a request for a ticket that is answered',
    kind: 'TicketRequest',
    object: ticketRequest({}, answered),
    old: ticketRequest(),
  },
];

export const acceptedExamples: readonly Example[] = [
  ...ticketRequestExamples,
  { name: 'a pool that says nothing', kind: 'GPUPool', object: minimal('GPUPool', 'default') },
  { name: 'a pool with every field', kind: 'GPUPool', object: fullExamples.GPUPool },
  { name: 'a pool whose selector is empty', kind: 'GPUPool', object: pool({ nodeSelector: {} }) },
  { name: 'a pool with fields set to null', kind: 'GPUPool', object: pool({ placement: null, nodeSelector: null }) },
  { name: 'a pool that changes its placement', kind: 'GPUPool', object: pool({ placement: 'Spread' }), old: pool() },
  { name: 'a node without a status', kind: 'GPUNode', object: node() },
  { name: 'a node with every field', kind: 'GPUNode', object: fullExamples.GPUNode },
  { name: 'a claim with what is required', kind: 'VGPUClaim', object: claim() },
  { name: 'a claim with every field', kind: 'VGPUClaim', object: fullExamples.VGPUClaim },
  ...['64Mi', '0.0625Gi', '67108864', '67109k', '1.5Gi', '100G', '7.999999999Pi'].map((memory): Example => ({
    name: `a claim for ${memory}`,
    kind: 'VGPUClaim',
    object: claim({ resources: { memory, compute: 1 } }),
  })),
  {
    name: 'a claim whose shares are as large as itself',
    kind: 'VGPUClaim',
    object: claim({ nested: { shares: [share('all', '8192Mi', 30), share('least', '64Mi', 1)] } }),
  },
  { name: 'a claim of 16 vGPUs', kind: 'VGPUClaim', object: claim({ vgpus: 16 }) },
  { name: 'a claim whose name has 63 characters', kind: 'VGPUClaim', object: claim({}, undefined, 'c'.repeat(63)) },
  { name: 'a pending claim that changes', kind: 'VGPUClaim', object: claim({ vgpus: 2 }), old: claim() },
  {
    name: 'a claim that changes after its release',
    kind: 'VGPUClaim',
    object: claim({ vgpus: 2 }, { phase: 'Released' }),
    old: claim({}, { phase: 'Released' }),
  },
  {
    name: 'a claim that becomes bound',
    kind: 'VGPUClaim',
    object: claim({}, bound),
    old: claim({}, { phase: 'Pending' }),
  },
  {
    name: 'a bound claim that is lost',
    kind: 'VGPUClaim',
    object: claim({}, { ...bound, phase: 'Lost' }),
    old: claim({}, bound),
  },
  {
    name: 'a bound claim that is sent back',
    kind: 'VGPUClaim',
    object: claim({}, { phase: 'Pending' }),
    old: claim({}, bound),
  },
  {
    name: 'a bound claim whose spec is written out with its defaults',
    kind: 'VGPUClaim',
    object: claim({ vgpus: 1, mode: 'Reserved', access: 'Any', vgpuPlacement: 'Distinct' }, bound),
    old: claim({}, bound),
  },
  {
    name: 'a bound claim of two vGPUs',
    kind: 'VGPUClaim',
    object: claim({ vgpus: 2 }, { phase: 'Bound', allocations: [allocation(0), allocation(1)] }),
  },
];

const QUANTITY = 'must be a quantity of bytes below 8Pi, such as 8Gi, 512Mi or 1.5Gi';
const NOT_QUANTITIES = [
  '',
  'eight',
  '8 Gi',
  '8gi',
  '8GB',
  '-8Gi',
  '+8Gi',
  '1e9',
  '500m',
  '.5Gi',
  '8Ei',
  '8Pi',
  '8Gi\n',
];

const refusedQuantities: readonly RefusedExample[] = [
  ...NOT_QUANTITIES.map((memory): RefusedExample => ({
    name: `a claim for ${JSON.stringify(memory)}`,
    kind: 'VGPUClaim',
    object: claim({ resources: { memory, compute: 30 } }),
    rule: 'VGPUClaim:spec.resources.memory:quantity',
    field: 'spec.resources.memory',
    message: QUANTITY,
  })),
  {
    name: 'a selector with a bad quantity',
    kind: 'VGPUClaim',
    object: claim({ gpuSelector: { minMemory: 'big' } }),
    rule: 'VGPUClaim:spec.gpuSelector.minMemory:quantity',
    field: 'spec.gpuSelector.minMemory',
    message: QUANTITY,
  },
  {
    name: 'a share with a bad quantity',
    kind: 'VGPUClaim',
    object: claim({ nested: { shares: [share('a', 'some', 1)] } }),
    rule: 'VGPUClaim:spec.nested.shares[].memory:quantity',
    field: 'spec.nested.shares[0].memory',
    message: QUANTITY,
  },
  {
    name: 'the second of two allocations with a bad quantity',
    kind: 'VGPUClaim',
    object: claim({ vgpus: 2 }, { ...bound, allocations: [allocation(0), { ...allocation(1), memory: '8GiB' }] }),
    rule: 'VGPUClaim:status.allocations[].memory:quantity',
    field: 'status.allocations[1].memory',
    message: QUANTITY,
  },
  ...(['capacity', 'promised'] as const).map((part): RefusedExample => ({
    name: `a pool whose ${part} is a bad quantity`,
    kind: 'GPUPool',
    object: pool({}, { [part]: { memory: 'all', compute: 100 } }),
    rule: `GPUPool:status.${part}.memory:quantity`,
    field: `status.${part}.memory`,
    message: QUANTITY,
  })),
  {
    name: 'a GPU with a bad quantity',
    kind: 'GPUNode',
    object: node({ gpus: [gpu('8 Gi')] }),
    rule: 'GPUNode:status.gpus[].memory:quantity',
    field: 'status.gpus[0].memory',
    message: QUANTITY,
  },
  {
    name: 'a promise with a bad quantity',
    kind: 'GPUNode',
    object: node({ promised: [{ uuid: 'GPU-0', memory: 'x', compute: 1, claims: 1 }] }),
    rule: 'GPUNode:status.promised[].memory:quantity',
    field: 'status.promised[0].memory',
    message: QUANTITY,
  },
];

const NAME = 'metadata.name must be at most 63 characters long';
const FROZEN = 'cannot be changed while the claim has its vGPUs: delete the claim and create another';
const ENTRIES = 'must have one entry for each vGPU of a claim that is Bound or Lost';

const frozen = (name: string, spec: object, phase = 'Bound'): RefusedExample => ({
  name,
  kind: 'VGPUClaim',
  object: claim(spec, { ...bound, phase }),
  old: claim({}, { ...bound, phase }),
  rule: 'VGPUClaim:spec-immutable-while-bound',
  field: 'spec',
  message: FROZEN,
});

const unallocated = (name: string, spec: object, status: object): RefusedExample => ({
  name,
  kind: 'VGPUClaim',
  object: claim(spec, status),
  rule: 'VGPUClaim:bound-has-allocations',
  field: 'status.allocations',
  message: ENTRIES,
});

/** For every rule at least one object that it refuses, and no other rule does. */
export const refusedExamples: readonly RefusedExample[] = [
  {
    name: 'a request for a ticket that would be for another key',
    kind: 'TicketRequest',
    object: ticketRequest({ holderKey: `${'B'.repeat(42)}A` }),
    old: ticketRequest(),
    rule: 'TicketRequest:spec-immutable',
    field: 'spec',
    message: 'cannot be changed: create another request',
  },
  ...[undefined, { ...answered, ticket: 'x.y.z' }].map((status): RefusedExample => ({
    name: `a request for a ticket whose answer is ${status === undefined ? 'taken away' : 'changed'}`,
    kind: 'TicketRequest',
    object: ticketRequest({}, status),
    old: ticketRequest({}, answered),
    rule: 'TicketRequest:answered-once',
    field: 'status',
    message: 'cannot be changed once it is set',
  })),
  {
    name: 'a claim of several vGPUs with slices',
    kind: 'VGPUClaim',
    object: claim({ vgpus: 2, slices: { count: 30, nodeName: 'gpu-1' } }),
    rule: 'VGPUClaim:slices-one-vgpu',
    field: 'spec.slices',
    message: 'are parts of one GPU: only a claim of one vGPU has them',
  },
  ...refusedQuantities,
  ...[share('large', '8193Mi', 30), share('fast', '8Gi', 31)].map((one): RefusedExample => ({
    name: `a claim with a share that is ${one.name}r than itself`,
    kind: 'VGPUClaim',
    object: claim({ nested: { shares: [one] } }),
    rule: 'VGPUClaim:share-within-claim',
    field: 'spec.nested.shares',
    message: 'must not be larger than the claim: no share has more memory or compute than spec.resources',
  })),
  {
    name: 'a share of too little memory',
    kind: 'VGPUClaim',
    object: claim({ nested: { shares: [share('tiny', '63Mi', 1)] } }),
    rule: 'VGPUClaim:share-memory-minimum',
    field: 'spec.nested.shares[0].memory',
    message: 'must be at least 64Mi',
  },
  {
    name: 'a default share that is none',
    kind: 'VGPUClaim',
    object: claim({ nested: { shares: [share('small', '1Gi', 1)], defaultShare: 'large' } }),
    rule: 'VGPUClaim:default-share-exists',
    field: 'spec.nested.defaultShare',
    message: 'must be the name of one of the shares',
  },
  ...['63Mi', '1', '0', '67108863', '0.06Gi'].map((memory): RefusedExample => ({
    name: `a claim for ${memory}`,
    kind: 'VGPUClaim',
    object: claim({ resources: { memory, compute: 30 } }),
    rule: 'VGPUClaim:memory-minimum',
    field: 'spec.resources.memory',
    message: 'must be at least 64Mi',
  })),
  {
    name: 'a claim whose name has 64 characters',
    kind: 'VGPUClaim',
    object: claim({}, undefined, 'c'.repeat(64)),
    rule: 'VGPUClaim:name-length',
    field: '',
    message: NAME,
  },
  {
    name: 'a pool whose name has 64 characters',
    kind: 'GPUPool',
    object: pool({}, undefined, 'p'.repeat(64)),
    rule: 'GPUPool:name-length',
    field: '',
    message: NAME,
  },
  frozen('a bound claim that wants more memory', { resources: { memory: '16Gi', compute: 30 } }),
  frozen('a bound claim that wants another pool', { poolName: 'other' }),
  frozen('a bound claim that gets a selector', { gpuSelector: { model: ['A100'] } }),
  frozen('a bound claim that would be kept to its node', { access: 'Local' }),
  frozen('a lost claim that changes', { vgpuPlacement: 'Shared' }, 'Lost'),
  {
    name: 'a claim whose status is taken away',
    kind: 'VGPUClaim',
    object: claim(),
    old: claim({}, bound),
    rule: 'VGPUClaim:status-not-removed',
    field: 'status',
    message: 'cannot be removed once it is set',
  },
  unallocated('a bound claim that got nothing', {}, { phase: 'Bound' }),
  unallocated('a lost claim that has nothing', {}, { phase: 'Lost', allocations: [] }),
  unallocated('a bound claim that got one vGPU of two', { vgpus: 2 }, bound),
];
