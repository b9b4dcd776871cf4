import { z } from 'zod';
import { conditionsSchema, observedGenerationSchema, quantitySchema } from './meta.ts';

/** Held by a claim from its binding until its sessions are over and its share is given back. */
export const RELEASE_FINALIZER = 'aquifer.dev/release';

export const MAX_VGPUS = 16; // CUDA programs enumerate devices at start; more than one node's worth helps nobody.

/** Sessions of one claim at once, of those that use it directly and of its nested containers. */
export const MAX_SESSIONS = 64;

export const MAX_SHARES = 16;

/** A day: longer than that nobody waits for a host. */
export const MAX_GRACE_SECONDS = 86_400;

const computeSchema = z
  .int()
  .min(1)
  .max(100)
  .meta({ description: 'Compute of each vGPU, in percent of one GPU. It is a cap as well as a promise.' });

const slicesSchema = z
  .strictObject({
    count: z.int().min(1).max(100).meta({ description: 'How many slices the pod asks for.' }),
    nodeName: z.string().min(1).max(253).meta({ description: 'The node whose kubelet counts them.' }),
  })
  .meta({
    description:
      'Aquifer sets it on the claim of a pod with the limit `aquifer.dev/slice`: the claim is bound on that node, and ' +
      'since kubelet counts its share as slices, it withdraws none of them.',
  });

const shareSchema = z.strictObject({
  name: z
    .string()
    .max(32)
    .regex(/^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/, 'must be lower-case letters, digits and hyphens, such as small-1')
    .meta({ description: 'Containers ask for the device `aquifer.dev/vgpu=CLAIM-NAME` to get it.' }),
  memory: quantitySchema('Device memory of each vGPU in bytes, at least `64Mi`, at most that of the claim.'),
  compute: z.int().min(1).max(100).meta({
    description: 'Compute of each vGPU, in percent of one GPU, at most that of the claim.',
  }),
  maxSessions: z
    .int()
    .min(1)
    .max(MAX_SESSIONS)
    .default(8)
    .meta({ description: 'How many programs of one container may use it at once.' }),
});

const nestedSchema = z
  .strictObject({
    shares: z
      .array(shareSchema)
      .max(MAX_SHARES)
      .meta({
        description:
          'What a container may ask for: each container that names a share has as much, for all of its programs together.',
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['name'],
      }),
    defaultShare: z.string().max(32).exactOptional().meta({
      description: 'The share of containers that name none. Without it these are refused.',
    }),
    maxSessions: z
      .int()
      .min(1)
      .max(MAX_SESSIONS)
      .default(MAX_SESSIONS)
      .meta({ description: 'How many programs may use the claim at once, of all containers and beside them.' }),
    oversubscribe: z
      .boolean()
      .default(false)
      .meta({
        description:
          'Whether the shares of the containers that run at once may be more than the claim in all. If not, a container ' +
          'that would make them more is refused, and the others have what they were promised.',
      }),
  })
  .meta({
    description: 'How a KVM guest may divide the claim among its containers. Without it they use it undivided.',
  });

export const vgpuClaimSpecSchema = z
  .strictObject({
    poolName: z.string().min(1).max(63).meta({ description: 'The `GPUPool` to draw from.' }),
    vgpus: z.int().min(1).max(MAX_VGPUS).default(1).meta({ description: 'How many CUDA devices the program sees.' }),
    resources: z
      .strictObject({
        memory: quantitySchema('Device memory of each vGPU in bytes, at least `64Mi`.'),
        compute: computeSchema,
      })
      .meta({ description: 'The size of each vGPU.' }),
    mode: z
      .enum(['Reserved'])
      .default('Reserved')
      .meta({ description: '`Reserved`: the claim holds its share for as long as it exists.' }),
    access: z
      .enum(['Any', 'Local'])
      .default('Any')
      .meta({
        description:
          'Where programs that use the claim may run. `Any`: on any node, best on that of the GPU. `Local`: on the node of ' +
          'the GPU alone: pods that name the claim are kept to it, and no other node is given a ticket.',
      }),
    vgpuPlacement: z.enum(['Distinct', 'Shared']).default('Distinct').meta({
      description: '`Distinct` puts each vGPU on a GPU of its own; `Shared` lets several vGPUs lie on one GPU.',
    }),
    gpuSelector: z
      .strictObject({
        model: z.array(z.string().min(1).max(128)).max(16).exactOptional().meta({
          description: 'Product names that will do: a GPU matches if its model is one of them or begins with one.',
          'x-kubernetes-list-type': 'set',
        }),
        minMemory: quantitySchema('The least physical memory that the GPU must have.').exactOptional(),
      })
      .exactOptional()
      .meta({ description: 'Which GPUs of the pool will do. Without it all do.' }),
    slices: slicesSchema.exactOptional(),
    nested: nestedSchema.exactOptional(),
    gracePeriodSeconds: z
      .int()
      .min(1)
      .max(MAX_GRACE_SECONDS)
      .exactOptional()
      .meta({
        description:
          'For how long a session whose connection over a network is lost waits for its program to come back; 120 where unsaid. ' +
          'It keeps its share meanwhile.',
      }),
  })
  .meta({ description: 'What is asked for.' });

const allocationSchema = z.strictObject({
  vgpu: z
    .int()
    .min(0)
    .max(MAX_VGPUS - 1)
    .meta({ description: 'Index of the vGPU, as the program counts devices.' }),
  node: z.string().min(1).max(253).meta({ description: 'The node of the GPU.' }),
  gpu: z.string().min(1).max(64).meta({ description: 'The UUID of the GPU.' }),
  memory: quantitySchema('Device memory that the vGPU has, in bytes.'),
  compute: computeSchema,
  endpoint: z.string().max(512).exactOptional().meta({ description: 'Where the gateway of the node listens.' }),
});

export const vgpuClaimStatusSchema = z
  .strictObject({
    phase: z
      .enum(['Pending', 'Bound', 'Lost', 'Released'])
      .exactOptional()
      .meta({
        description:
          '`Pending`: waits for vGPUs. `Bound`: has them. `Lost`: their node or GPU does not answer. ' +
          '`Released`: they are given back.',
      }),
    observedGeneration: observedGenerationSchema.exactOptional(),
    allocations: z
      .array(allocationSchema)
      .max(MAX_VGPUS)
      .exactOptional()
      .meta({
        description: 'What the claim got, one entry for each vGPU.',
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['vgpu'],
      }),
    conditions: conditionsSchema.exactOptional(),
  })
  .meta({ description: 'What the claim got. Written by the operator only.' });
