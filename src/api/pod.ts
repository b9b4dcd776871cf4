/** What a pod says to get a vGPU, and the parts of a core Pod that answer it. */

/** Annotations, from the smallest wish to the largest; `containers` lists those that get a slot, all without it. */
export const POD_ANNOTATIONS = {
  claim: 'aquifer.dev/claim',
  memory: 'aquifer.dev/memory',
  compute: 'aquifer.dev/compute',
  pool: 'aquifer.dev/pool',
  containers: 'aquifer.dev/containers',
} as const;

/** Keeps a pod from being scheduled until its claim is bound. Admission puts it on, the operator takes it off. */
export const SCHEDULING_GATE = 'aquifer.dev/claim';

/** On every pod that admission has seen to: the operator watches those and no others. */
export const POD_LABEL = 'aquifer.dev/vgpu';

/** The pool of a pod that names none. */
export const DEFAULT_POOL = 'default';

export interface Container {
  readonly name: string;
  /** `Always` for an init container: a sidecar, which runs beside the others. */
  readonly restartPolicy?: string;
  readonly resources?: { readonly limits?: Readonly<Record<string, string>> };
}

/** What a label, or a field, of a node must be. */
export interface Requirement {
  readonly key: string;
  readonly operator: string;
  readonly values?: readonly string[];
}

export interface SelectorTerm {
  readonly matchExpressions?: readonly Requirement[];
  readonly matchFields?: readonly Requirement[];
}

interface NodeAffinity {
  readonly requiredDuringSchedulingIgnoredDuringExecution?: { readonly nodeSelectorTerms: readonly SelectorTerm[] };
  readonly preferredDuringSchedulingIgnoredDuringExecution?: readonly {
    readonly weight: number;
    readonly preference: SelectorTerm;
  }[];
}

export interface Affinity {
  readonly nodeAffinity?: NodeAffinity;
  readonly [other: string]: unknown;
}

export interface Pod {
  readonly apiVersion: 'v1';
  readonly kind: 'Pod';
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly uid: string;
    readonly resourceVersion: string;
    readonly creationTimestamp: string;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly labels?: Readonly<Record<string, string>>;
    readonly deletionTimestamp?: string;
  };
  readonly spec: {
    readonly nodeName?: string;
    readonly nodeSelector?: Readonly<Record<string, string>>;
    readonly schedulingGates?: readonly { readonly name: string }[];
    readonly affinity?: Affinity;
    readonly containers: readonly Container[];
    readonly initContainers?: readonly Container[];
  };
  readonly status?: { readonly phase?: string };
}

/** The table of kinds of a store of pods. */
export interface PodKinds {
  readonly Pod: Pod;
}

export const isGated = ({ spec }: Pod): boolean =>
  spec.schedulingGates?.some(({ name }) => name === SCHEDULING_GATE) === true;

/** Its containers have ended and will not start again. */
export const isFinished = ({ status }: Pod): boolean => status?.phase === 'Succeeded' || status?.phase === 'Failed';
