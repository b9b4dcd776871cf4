import { z } from 'zod';
import { MAX_DEVICE_IDS } from './extended-resource.ts';
import { conditionsSchema, observedGenerationSchema, quantitySchema } from './meta.ts';

const uuidSchema = z
  .string()
  .min(1)
  .max(64)
  .meta({ description: 'The UUID of the GPU as the driver shows it, such as `GPU-5f0c…`.' });

export const gpuNodeSpecSchema = z
  .strictObject({})
  .prefault({})
  .meta({ description: 'A GPUNode describes what is there; nothing in it is wished for.' });

const agentSchema = z
  .strictObject({
    version: z.string().max(64).meta({ description: 'Version of the agent.' }),
    endpoint: z.string().min(1).max(512).meta({ description: 'Where the gateway of the node listens: `host:port`.' }),
  })
  .meta({ description: 'The agent that reports this node.' });

const gpuSchema = z.strictObject({
  uuid: uuidSchema,
  index: z.int().min(0).max(1023).meta({ description: 'Position of the GPU on its node.' }),
  model: z.string().min(1).max(128).meta({ description: 'Product name.' }),
  memory: quantitySchema('Physical device memory in bytes.'),
  computeCapability: z
    .string()
    .regex(/^[0-9]{1,3}[.][0-9]{1,3}$/, 'must be major.minor, such as 8.0')
    .meta({ description: 'CUDA compute capability, such as `8.0`.' }),
  healthy: z.boolean().meta({ description: 'Whether claims may be placed on the GPU.' }),
  reason: z.string().max(256).exactOptional().meta({ description: 'Why the GPU is not healthy, such as `XID79`.' }),
  driverVersion: z.string().max(64).exactOptional().meta({ description: 'Version of the GPU driver.' }),
});

const promisedSchema = z.strictObject({
  uuid: uuidSchema,
  memory: quantitySchema('Device memory promised to claims, in bytes.'),
  compute: z.int().min(0).max(100_000).meta({ description: 'Compute promised to claims, in percent of the GPU.' }),
  claims: z.int().min(0).max(100_000).meta({ description: 'Claims that have a vGPU of the GPU.' }),
});

const slicesSchema = z
  .strictObject({
    capacity: z.int().min(0).max(MAX_DEVICE_IDS).meta({ description: 'Slices that the GPUs of the node make.' }),
    withdrawn: z
      .int()
      .min(0)
      .max(MAX_DEVICE_IDS)
      .meta({ description: 'Slices that cannot be had, for claims that kubelet does not count as slices.' }),
  })
  .meta({ description: 'What kubelet is told of `aquifer.dev/slice`. Written by the operator.' });

const byUuid = { 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['uuid'] };

export const gpuNodeStatusSchema = z
  .strictObject({
    observedGeneration: observedGenerationSchema.exactOptional(),
    agent: agentSchema.exactOptional(),
    gpus: z
      .array(gpuSchema)
      .max(64)
      .exactOptional()
      .meta({ description: 'The GPUs of the node. Written by its agent.', ...byUuid }),
    promised: z
      .array(promisedSchema)
      .max(64)
      .exactOptional()
      .meta({ description: 'What is promised of each GPU. Written by the operator.', ...byUuid }),
    slices: slicesSchema.exactOptional(),
    slicesOffered: z
      .int()
      .min(0)
      .max(MAX_DEVICE_IDS)
      .exactOptional()
      .meta({
        description:
          'Slices that kubelet has been told of, those that pods have included: only so many pods are let go there. ' +
          'Written by the agent.',
      }),
    conditions: conditionsSchema.exactOptional(),
  })
  .meta({ description: 'Inventory of the node and what is promised of it.' });
