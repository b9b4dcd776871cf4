import { z } from 'zod';
import { gpuNodeSpecSchema, gpuNodeStatusSchema } from './gpu-node.ts';
import { gpuPoolSpecSchema, gpuPoolStatusSchema } from './gpu-pool.ts';
import { API_VERSION, objectMetaSchema, writtenMetaSchema, type DeepReadonly } from './meta.ts';
import { vgpuClaimSpecSchema, vgpuClaimStatusSchema } from './vgpu-claim.ts';

/** A column of `get`. `jsonPath` is the subset that `columnValue` understands; priority 1 shows with `-o wide` only. */
export interface PrinterColumn {
  readonly name: string;
  readonly type: 'string' | 'integer' | 'date';
  readonly jsonPath: string;
  readonly priority?: 1;
  readonly description: string;
}

export const objectSchema = <K extends string, Spec extends z.ZodType, Status extends z.ZodType>(
  kind: K,
  spec: Spec,
  status: Status,
) =>
  z.strictObject({
    apiVersion: z.literal(API_VERSION),
    kind: z.literal(kind),
    metadata: writtenMetaSchema,
    spec,
    status: status.exactOptional(),
  });

export const age: PrinterColumn = {
  name: 'Age',
  type: 'date',
  jsonPath: '.metadata.creationTimestamp',
  description: 'Time since the object was created.',
};

const ready: PrinterColumn = {
  name: 'Ready',
  type: 'string',
  jsonPath: '.status.conditions[?(@.type=="Ready")].status',
  description: 'Whether it can be used.',
};

/** The kinds of every store: everything that a store, a command line or a generator must know of each. */
export const kinds = {
  GPUPool: {
    kind: 'GPUPool',
    plural: 'gpupools',
    singular: 'gpupool',
    shortNames: ['gpool'],
    namespaced: false,
    description: 'GPUs under one policy.',
    schema: objectSchema('GPUPool', gpuPoolSpecSchema, gpuPoolStatusSchema),
    columns: [
      { name: 'Nodes', type: 'integer', jsonPath: '.status.nodes', description: 'Nodes that the pool selects.' },
      { name: 'GPUs', type: 'integer', jsonPath: '.status.gpus', description: 'GPUs on these nodes.' },
      { name: 'Memory', type: 'string', jsonPath: '.status.capacity.memory', description: 'Memory it may promise.' },
      { name: 'Promised', type: 'string', jsonPath: '.status.promised.memory', description: 'Memory it promised.' },
      { name: 'Bound', type: 'integer', jsonPath: '.status.claims.bound', description: 'Claims with vGPUs.' },
      { name: 'Pending', type: 'integer', jsonPath: '.status.claims.pending', description: 'Claims that wait.' },
      ready,
      {
        name: 'Placement',
        type: 'string',
        jsonPath: '.spec.placement',
        priority: 1,
        description: 'Whether vGPUs are packed or spread.',
      },
      age,
    ],
  },
  GPUNode: {
    kind: 'GPUNode',
    plural: 'gpunodes',
    singular: 'gpunode',
    shortNames: ['gnode'],
    namespaced: false,
    description: 'The GPUs of one node and what is promised of them. Its name is the name of the node.',
    schema: objectSchema('GPUNode', gpuNodeSpecSchema, gpuNodeStatusSchema),
    columns: [
      ready,
      {
        name: 'Reason',
        type: 'string',
        jsonPath: '.status.conditions[?(@.type=="Ready")].reason',
        description: 'Why it can be used or not.',
      },
      {
        name: 'Healthy',
        type: 'string',
        jsonPath: '.status.conditions[?(@.type=="Healthy")].status',
        description: 'Whether all of its GPUs are healthy.',
      },
      { name: 'Model', type: 'string', jsonPath: '.status.gpus[0].model', description: 'Model of the first GPU.' },
      {
        name: 'Endpoint',
        type: 'string',
        jsonPath: '.status.agent.endpoint',
        priority: 1,
        description: 'Where its gateway listens.',
      },
      {
        name: 'Version',
        type: 'string',
        jsonPath: '.status.agent.version',
        priority: 1,
        description: 'Version of its agent.',
      },
      age,
    ],
  },
  VGPUClaim: {
    kind: 'VGPUClaim',
    plural: 'vgpuclaims',
    singular: 'vgpuclaim',
    shortNames: ['vgpu'],
    namespaced: true,
    description: 'A request for vGPUs and, once bound, what it got.',
    schema: objectSchema('VGPUClaim', vgpuClaimSpecSchema, vgpuClaimStatusSchema),
    columns: [
      { name: 'Phase', type: 'string', jsonPath: '.status.phase', description: 'Where the claim stands.' },
      { name: 'Pool', type: 'string', jsonPath: '.spec.poolName', description: 'The pool it draws from.' },
      { name: 'vGPUs', type: 'integer', jsonPath: '.spec.vgpus', description: 'Devices that the program sees.' },
      { name: 'Memory', type: 'string', jsonPath: '.spec.resources.memory', description: 'Memory of each vGPU.' },
      { name: 'Compute', type: 'integer', jsonPath: '.spec.resources.compute', description: 'Percent of one GPU.' },
      { name: 'Node', type: 'string', jsonPath: '.status.allocations[0].node', description: 'Node of the GPU.' },
      {
        name: 'Reason',
        type: 'string',
        jsonPath: '.status.conditions[?(@.type=="Bound")].reason',
        description: 'Why it is bound or not.',
      },
      { name: 'Access', type: 'string', jsonPath: '.spec.access', priority: 1, description: 'Where programs may run.' },
      {
        name: 'GPU',
        type: 'string',
        jsonPath: '.status.allocations[0].gpu',
        priority: 1,
        description: 'UUID of the first GPU.',
      },
      {
        name: 'Message',
        type: 'string',
        jsonPath: '.status.conditions[?(@.type=="Bound")].message',
        priority: 1,
        description: 'The reason in a sentence.',
      },
      age,
    ],
  },
} as const satisfies Record<string, KindEntry>;

export interface KindEntry {
  readonly kind: string;
  readonly plural: string;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly namespaced: boolean;
  readonly description: string;
  readonly schema: z.ZodObject;
  readonly columns: readonly PrinterColumn[];
}

export type Kind = keyof typeof kinds;

export const kindNames = Object.keys(kinds) as readonly Kind[];

const storedMetadata = { metadata: objectMetaSchema };

const storedSchemas = {
  GPUPool: kinds.GPUPool.schema.extend(storedMetadata),
  GPUNode: kinds.GPUNode.schema.extend(storedMetadata),
  VGPUClaim: kinds.VGPUClaim.schema.extend(storedMetadata),
};

/** An object of the kind as a store gives it out: validated, defaulted, with the store's own metadata. */
export type ObjectOf<K extends Kind> = DeepReadonly<z.output<(typeof storedSchemas)[K]>>;

/** The table of kinds that a `Store` is generic over. */
export type Kinds = { readonly [K in Kind]: ObjectOf<K> };

export type GPUPool = ObjectOf<'GPUPool'>;
export type GPUNode = ObjectOf<'GPUNode'>;
export type VGPUClaim = ObjectOf<'VGPUClaim'>;

/** The kind that a user's word means: kind, plural, singular or short name, in any case. */
export function kindFor(word: string): Kind | undefined {
  const wanted = word.toLowerCase();
  return kindNames.find((name) => {
    const { plural, singular, shortNames } = kinds[name];
    return [plural, singular, `${plural}.aquifer.dev`, ...shortNames].includes(wanted);
  });
}
