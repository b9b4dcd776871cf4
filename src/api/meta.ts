import { z } from 'zod';

export const API_GROUP = 'aquifer.dev';
export const API_VERSION = 'aquifer.dev/v1alpha1';

/** Objects are replaced, never mutated: every object that leaves the store is deep-readonly. */
export type DeepReadonly<T> = T extends (infer E)[]
  ? readonly DeepReadonly<E>[]
  : T extends object
    ? { readonly [P in keyof T]: DeepReadonly<T[P]> }
    : T;

const DNS_LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const DNS_SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const QUALIFIED_NAME = /^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const LABEL_VALUE = /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/;
const RFC3339 = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}([.]\d{1,9})?(Z|[+-]\d{2}:\d{2})$/;
const ANNOTATIONS_MAX_BYTES = 256 * 1024; // As the Kubernetes API server limits it.

const isTimestamp = (text: string): boolean => RFC3339.test(text) && !Number.isNaN(Date.parse(text));

/** A point in time as Kubernetes writes it (RFC 3339). */
const timestampSchema = z
  .string()
  .refine(isTimestamp, 'must be a time such as 2026-01-31T12:00:00Z')
  .meta({ format: 'date-time' });

/** A quantity of bytes; its form is checked by the rules of the kind, so that both stores say the same words. */
export const quantitySchema = (description: string) => z.string().max(32).meta({ description });

const labelsSchema = z
  .record(
    z.string().regex(QUALIFIED_NAME, 'is not a valid label key: use letters, digits, "-", "_" and "."'),
    z.string().regex(LABEL_VALUE, 'is not a valid label value: at most 63 letters, digits, "-", "_" and "."'),
  )
  .meta({ description: 'Keys and values that select objects.' });

const annotationsSchema = z
  .record(z.string().regex(QUALIFIED_NAME, 'is not a valid annotation key'), z.string())
  .refine((annotations) => annotationBytes(annotations) <= ANNOTATIONS_MAX_BYTES, 'must be at most 256 KiB in all');

const annotationBytes = (annotations: Record<string, string>): number =>
  Object.entries(annotations).reduce((sum, [key, value]) => sum + key.length + Buffer.byteLength(value), 0);

const ownerReferenceSchema = z.strictObject({
  apiVersion: z.string().min(1),
  kind: z.string().min(1),
  name: z.string().min(1),
  uid: z.string().min(1),
  controller: z.boolean().exactOptional(),
  blockOwnerDeletion: z.boolean().exactOptional(),
});

/** What a user or a controller writes; the rest of the metadata belongs to the store. */
export const writtenMetaSchema = z.strictObject({
  name: z
    .string()
    .max(253)
    .regex(DNS_SUBDOMAIN, 'must be lower-case letters, digits, "-" and ".", and begin and end with a letter or digit'),
  namespace: z.string().regex(DNS_LABEL, 'must be at most 63 lower-case letters, digits and "-"').exactOptional(),
  labels: labelsSchema.exactOptional(),
  annotations: annotationsSchema.exactOptional(),
  finalizers: z.array(z.string().regex(QUALIFIED_NAME, 'is not a qualified name')).exactOptional(),
  ownerReferences: z.array(ownerReferenceSchema).exactOptional(),
});

/** Metadata as the store holds it. `resourceVersion` is opaque: compare it only for equality. */
export const objectMetaSchema = writtenMetaSchema.extend({
  uid: z.string(),
  resourceVersion: z.string(),
  generation: z.int(),
  creationTimestamp: timestampSchema,
  deletionTimestamp: timestampSchema.exactOptional(),
});

export type ObjectMeta = DeepReadonly<z.infer<typeof objectMetaSchema>>;

const conditionSchema = z.strictObject({
  type: z.string().min(1).max(63).meta({ description: 'What the condition is about.' }),
  status: z.enum(['True', 'False', 'Unknown']).meta({ description: 'Whether it holds.' }),
  observedGeneration: z
    .int()
    .min(0)
    .exactOptional()
    .meta({ description: '`metadata.generation` of the object that this condition was derived from.' }),
  lastTransitionTime: timestampSchema.meta({ description: 'When `status` last changed.', format: 'date-time' }),
  reason: z
    .string()
    .regex(/^[A-Za-z][A-Za-z0-9]{0,62}$/, 'must be one word in PascalCase')
    .meta({ description: 'One word for programs.' }),
  message: z.string().max(4096).meta({ description: 'A sentence for people.' }),
});

export type Condition = DeepReadonly<z.infer<typeof conditionSchema>>;

export const conditionsSchema = z
  .array(conditionSchema)
  .max(16)
  .meta({
    description: 'The state in detail.',
    'x-kubernetes-list-type': 'map',
    'x-kubernetes-list-map-keys': ['type'],
  });

export const observedGenerationSchema = z
  .int()
  .min(0)
  .meta({ description: '`metadata.generation` of the spec that this status answers.' });
