import { jsonEqual } from '../lib/json-equal.ts';
import type { ClusterKind } from './cluster-kinds.ts';
import type { Kind } from './kinds.ts';
import { parseQuantity, QUANTITY_LIMIT, QUANTITY_PATTERN } from './quantity.ts';

/**
 * A rule that a schema cannot say. `cel` goes into the CRD, `check` serves the embedded store, both with the same
 * `message`: whichever store a user has, the same objects are refused in the same words. A test evaluates both on
 * the same objects.
 */
export interface Rule {
  readonly id: string;
  readonly kind: ClusterKind;
  /** Where `self` is: '' for the whole object, else `spec.resources.memory`, `[]` standing for each item of a list. */
  readonly path: string;
  /** The field to blame, where it lies below `path`. */
  readonly field?: string;
  readonly cel: string;
  readonly message: string;
  /** A rule over a change, which has `oldSelf`; it does not run when an object is created. */
  readonly transition: boolean;
  /** True if the object may be stored. `self` has passed the schema; `oldSelf` is given to transition rules only. */
  readonly check: (self: Json, oldSelf: Json) => boolean;
}

type Json = unknown;

const MIN_VGPU_MEMORY = '64Mi'; // The first context of a CUDA program already takes tens of MiB.

/** The least memory of a vGPU. */
export const minVgpuMemoryBytes = parseQuantity(MIN_VGPU_MEMORY) ?? 0;

const QUANTITY_PATHS: Readonly<Record<Kind, readonly string[]>> = {
  GPUPool: ['status.capacity.memory', 'status.promised.memory'],
  GPUNode: ['status.gpus[].memory', 'status.promised[].memory'],
  VGPUClaim: [
    'spec.resources.memory',
    'spec.gpuSelector.minMemory',
    'spec.nested.shares[].memory',
    'status.allocations[].memory',
  ],
};

const CEL_IS_QUANTITY = `self.matches('${QUANTITY_PATTERN}') && quantity(self).isLessThan(quantity('${QUANTITY_LIMIT}'))`;

const quantityRules = (Object.keys(QUANTITY_PATHS) as Kind[]).flatMap((kind) =>
  QUANTITY_PATHS[kind].map((path): Rule => ({
    id: `${kind}:${path}:quantity`,
    kind,
    path,
    cel: CEL_IS_QUANTITY,
    message: `must be a quantity of bytes below ${QUANTITY_LIMIT}, such as 8Gi, 512Mi or 1.5Gi`,
    transition: false,
    check: (self) => parseQuantity(String(self)) !== undefined,
  })),
);

const MAX_NAME = 63; // Names of pools and claims become label values and device names, which end there.

const nameRules = (['GPUPool', 'VGPUClaim'] as const).map((kind): Rule => ({
  id: `${kind}:name-length`,
  kind,
  path: '',
  // Without a field: Kubernetes takes no fieldPath inside metadata, so the message has to name it.
  cel: `self.metadata.name.size() <= ${MAX_NAME}`,
  message: `metadata.name must be at most ${MAX_NAME} characters long`,
  transition: false,
  check: (self) => nameOf(self).length <= MAX_NAME,
}));

interface ClaimShape {
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly vgpus: number;
    readonly resources: Size;
    readonly slices?: unknown;
    readonly nested?: NestedShape;
  };
  readonly status?: { readonly phase?: string; readonly allocations?: readonly unknown[] };
}

interface Size {
  readonly memory: string;
  readonly compute: number;
}

interface NestedShape {
  readonly shares: readonly (Size & { readonly name: string })[];
  readonly defaultShare?: string;
}

const nameOf = (self: Json): string => (self as ClaimShape).metadata.name;

const HOLDING_PHASES = ['Bound', 'Lost'];

const holdsVgpus = (claim: ClaimShape): boolean => HOLDING_PHASES.includes(claim.status?.phase ?? '');

const celHolds = (name: string): string =>
  `has(${name}.status) && has(${name}.status.phase) && ${name}.status.phase in ['Bound', 'Lost']`;

const memoryMinimum = (id: string, path: string): Rule => ({
  id,
  kind: 'VGPUClaim',
  path,
  // A text that is no quantity is the quantity rule's business: one fault, one message.
  cel: `!self.matches('${QUANTITY_PATTERN}') || !quantity(self).isLessThan(quantity('${MIN_VGPU_MEMORY}'))`,
  message: `must be at least ${MIN_VGPU_MEMORY}`,
  transition: false,
  check: (self) => (parseQuantity(String(self)) ?? minVgpuMemoryBytes) >= minVgpuMemoryBytes,
});

const CEL_BOTH_QUANTITIES = `s.memory.matches('${QUANTITY_PATTERN}') && self.spec.resources.memory.matches('${QUANTITY_PATTERN}')`;

const nestedRules: readonly Rule[] = [
  memoryMinimum('VGPUClaim:share-memory-minimum', 'spec.nested.shares[].memory'),
  {
    id: 'VGPUClaim:share-within-claim',
    kind: 'VGPUClaim',
    path: '',
    field: 'spec.nested.shares',
    cel:
      `!has(self.spec.nested) || self.spec.nested.shares.all(s, s.compute <= self.spec.resources.compute && ` +
      `!(${CEL_BOTH_QUANTITIES} && quantity(s.memory).isGreaterThan(quantity(self.spec.resources.memory))))`,
    message: 'must not be larger than the claim: no share has more memory or compute than spec.resources',
    transition: false,
    check: (self) => {
      const { resources, nested } = (self as ClaimShape).spec;
      return (nested?.shares ?? []).every((share) => isWithin(share, resources));
    },
  },
  {
    id: 'VGPUClaim:default-share-exists',
    kind: 'VGPUClaim',
    path: '',
    field: 'spec.nested.defaultShare',
    cel:
      `!has(self.spec.nested) || !has(self.spec.nested.defaultShare) || ` +
      `self.spec.nested.shares.exists(s, s.name == self.spec.nested.defaultShare)`,
    message: 'must be the name of one of the shares',
    transition: false,
    check: (self) => {
      const { nested } = (self as ClaimShape).spec;
      const wanted = nested?.defaultShare;
      return wanted === undefined || nested?.shares.some(({ name }) => name === wanted) === true;
    },
  },
];

function isWithin(share: Size, claim: Size): boolean {
  const [own, whole] = [parseQuantity(share.memory), parseQuantity(claim.memory)];
  return share.compute <= claim.compute && !(own !== undefined && whole !== undefined && own > whole);
}

const claimRules: readonly Rule[] = [
  memoryMinimum('VGPUClaim:memory-minimum', 'spec.resources.memory'),
  {
    id: 'VGPUClaim:slices-one-vgpu',
    kind: 'VGPUClaim',
    path: '',
    field: 'spec.slices',
    cel: `!has(self.spec.slices) || self.spec.vgpus == 1`,
    message: 'are parts of one GPU: only a claim of one vGPU has them',
    transition: false,
    check: (self) => {
      const { slices, vgpus } = (self as ClaimShape).spec;
      return slices === undefined || vgpus === 1;
    },
  },
  {
    id: 'VGPUClaim:spec-immutable-while-bound',
    kind: 'VGPUClaim',
    path: '',
    field: 'spec',
    cel: `!(${celHolds('oldSelf')}) || self.spec == oldSelf.spec`,
    message: 'cannot be changed while the claim has its vGPUs: delete the claim and create another',
    transition: true,
    check: (self, oldSelf) =>
      !holdsVgpus(oldSelf as ClaimShape) || jsonEqual((self as ClaimShape).spec, (oldSelf as ClaimShape).spec),
  },
  {
    id: 'VGPUClaim:status-not-removed',
    kind: 'VGPUClaim',
    path: '',
    field: 'status',
    // Without this rule a status set to null would get round the rule above.
    cel: `!has(oldSelf.status) || has(self.status)`,
    message: 'cannot be removed once it is set',
    transition: true,
    check: (self, oldSelf) => (oldSelf as ClaimShape).status === undefined || (self as ClaimShape).status !== undefined,
  },
  {
    id: 'VGPUClaim:bound-has-allocations',
    kind: 'VGPUClaim',
    path: '',
    field: 'status.allocations',
    cel:
      `!(${celHolds('self')}) || ` +
      `(has(self.status.allocations) && self.status.allocations.size() == self.spec.vgpus)`,
    message: 'must have one entry for each vGPU of a claim that is Bound or Lost',
    transition: false,
    check: (self) => {
      const claim = self as ClaimShape;
      return !holdsVgpus(claim) || claim.status?.allocations?.length === claim.spec.vgpus;
    },
  },
];

const ticketRequestRules: readonly Rule[] = [
  {
    id: 'TicketRequest:spec-immutable',
    kind: 'TicketRequest',
    path: '',
    field: 'spec',
    cel: `self.spec == oldSelf.spec`,
    message: 'cannot be changed: create another request',
    transition: true,
    check: (self, oldSelf) => jsonEqual((self as ClaimShape).spec, (oldSelf as ClaimShape).spec),
  },
  {
    id: 'TicketRequest:answered-once',
    kind: 'TicketRequest',
    path: '',
    field: 'status',
    cel: `!has(oldSelf.status) || (has(self.status) && self.status == oldSelf.status)`,
    message: 'cannot be changed once it is set',
    transition: true,
    check: (self, oldSelf) => {
      const { status } = oldSelf as ClaimShape;
      return status === undefined || jsonEqual((self as ClaimShape).status, status);
    },
  },
];

/** All rules of all kinds, in the order in which they are checked. */
export const rules: readonly Rule[] = [
  ...quantityRules,
  ...nameRules,
  ...claimRules,
  ...nestedRules,
  ...ticketRequestRules,
];
