import { z } from 'zod';
import { conditionsSchema, observedGenerationSchema, quantitySchema } from './meta.ts';

const count = (description: string) => z.int().min(0).max(2_147_483_647).meta({ description });

const oversubscriptionSchema = z
  .strictObject({
    compute: z
      .int()
      .min(100)
      .max(1000)
      .default(100)
      .meta({ description: "Percent of a GPU's compute time that may be promised to claims." }),
    memory: z
      .int()
      .min(1)
      .max(100)
      .default(100)
      .meta({ description: "Percent of a GPU's memory that may be promised to claims; never more than all of it." }),
  })
  .prefault({})
  .meta({ description: 'How much of each GPU may be promised, in percent of the physical GPU.' });

export const gpuPoolSpecSchema = z
  .strictObject({
    nodeSelector: z
      .strictObject({
        matchLabels: z
          .record(z.string(), z.string().max(63))
          .exactOptional()
          .meta({ description: 'Labels that a node must have, all of them.' }),
      })
      .exactOptional()
      .meta({ description: 'The nodes whose GPUs belong to the pool. Without it the GPUs of all nodes do.' }),
    sharing: z
      .enum(['Forwarded'])
      .default('Forwarded')
      .meta({ description: 'How programs reach the GPUs. `Forwarded`: CUDA calls are carried to a worker process.' }),
    slicesPerGPU: z
      .int()
      .min(1)
      .max(100)
      .default(100)
      .meta({ description: 'Into how many slices one GPU is divided where slices are counted.' }),
    oversubscription: oversubscriptionSchema,
    placement: z.enum(['Pack', 'Spread']).default('Pack').meta({
      description:
        '`Pack` takes the fullest GPU that still fits, so that whole GPUs stay free; `Spread` takes the emptiest.',
    }),
  })
  .prefault({})
  .meta({ description: 'The policy of the pool.' });

const amountSchema = (description: string) =>
  z
    .strictObject({
      memory: quantitySchema('Device memory in bytes.'),
      compute: count('Compute in percent of one GPU: 250 is two and a half GPUs.'),
    })
    .meta({ description });

export const gpuPoolStatusSchema = z
  .strictObject({
    observedGeneration: observedGenerationSchema.exactOptional(),
    nodes: count('Nodes that the pool selects.').exactOptional(),
    gpus: count('GPUs on these nodes.').exactOptional(),
    capacity: amountSchema('What the pool may promise in all.').exactOptional(),
    promised: amountSchema('What is promised to claims.').exactOptional(),
    claims: z
      .strictObject({
        bound: count('Claims that have their vGPUs.'),
        pending: count('Claims that wait for vGPUs.'),
      })
      .exactOptional()
      .meta({ description: 'Claims that name the pool.' }),
    conditions: conditionsSchema.exactOptional(),
  })
  .meta({ description: 'What the operator last saw. Written by the operator only.' });
