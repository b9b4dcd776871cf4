import { admit } from '../../api/admission.ts';
import { SLICE_RESOURCE } from '../../api/extended-resource.ts';
import { API_GROUP, API_VERSION } from '../../api/meta.ts';
import { DEFAULT_POOL, POD_ANNOTATIONS, type Container, type Pod } from '../../api/pod.ts';
import { parseQuantity } from '../../api/quantity.ts';
import { problemText, type Problem } from '../../api/problem.ts';
import { nearest } from '../../lib/edit-distance.ts';
import { err, ok, type Result } from '../../lib/result.ts';

/** What a pod asks for. */
export type Ask =
  | { readonly kind: 'Nothing' }
  /** A share of a claim that somebody made. */
  | { readonly kind: 'Claim'; readonly name: string }
  /** A claim of the pod's own. */
  | { readonly kind: 'Own'; readonly spec: OwnSpec }
  /** A claim of the pod's own, of one GPU of its own node. */
  | ({ readonly kind: 'Slices' } & SliceAsk);

export interface OwnSpec {
  readonly poolName: string;
  readonly resources: { readonly memory: string; readonly compute: number };
}

export interface SliceAsk {
  readonly poolName: string;
  /** Of all its containers together. */
  readonly count: number;
}

/** A sentence of what is wrong and what would be right. */
export type Wrong = string;

/** Reads a pod's limits and annotations, which anybody may have written. */
export function askOf(pod: Pod): Result<Ask, Wrong> {
  const unknown = unknownIn(pod);
  if (unknown !== undefined) return err(unknown);
  if (asksForSlices(pod)) return sliceAsk(pod);
  const strangers = strangersIn(pod);
  if (strangers !== undefined) return err(strangers);
  const words = wordsOf(pod);
  if (Object.keys(words).length === 0) return ok({ kind: 'Nothing' });
  const { claim } = words;
  if (claim === undefined) return ownAsk(words, pod.metadata.namespace);
  const extra = (['memory', 'compute', 'pool'] as const).filter((word) => words[word] !== undefined);
  if (extra.length > 0) {
    const names = extra.map((word) => POD_ANNOTATIONS[word]).join(' and ');
    return err(`${POD_ANNOTATIONS.claim} names a claim, which says what it is: leave out ${names}`);
  }
  return claim === '' ? err(`${POD_ANNOTATIONS.claim} is empty: name a claim`) : ok({ kind: 'Claim', name: claim });
}

type Words = Partial<Record<keyof typeof POD_ANNOTATIONS, string>>;

const wordsOf = ({ metadata }: Pod): Words =>
  Object.fromEntries(
    Object.entries(POD_ANNOTATIONS).flatMap(([word, annotation]) => {
      const value = metadata.annotations?.[annotation];
      return value === undefined ? [] : [[word, value]];
    }),
  );

/** The containers that run for as long as the pod does: its sidecars and its own. */
export const longRunning = ({ spec }: Pod): readonly string[] =>
  [...(spec.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === 'Always'), ...spec.containers].map(
    ({ name }) => name,
  );

const ALONE = ['claim', 'memory', 'compute', 'containers'] as const;

function sliceAsk(pod: Pod): Result<Ask, Wrong> {
  const words = wordsOf(pod);
  const extra = ALONE.filter((word) => words[word] !== undefined).map((word) => POD_ANNOTATIONS[word]);
  if (extra.length > 0) {
    return err(`a limit of ${SLICE_RESOURCE} says all that is asked for: leave out ${extra.join(' and ')}`);
  }
  const asking = allContainers(pod).filter(hasSlices);
  const brief = asking.find(({ name }) => !longRunning(pod).includes(name));
  if (brief !== undefined) {
    const message = `ends before the pod has its vGPU: only sidecars and other containers may have ${SLICE_RESOURCE}`;
    return err(`init container ${brief.name} ${message}`);
  }
  const count = asking.reduce((sum, container) => sum + slicesOf(container), 0);
  if (Number.isNaN(count)) return err(`${SLICE_RESOURCE} must be a plain number, such as 25`);
  const { pool: poolName = DEFAULT_POOL } = words;
  return poolName === ''
    ? err(`${POD_ANNOTATIONS.pool} is empty: name a pool`)
    : ok({ kind: 'Slices', poolName, count });
}

const allContainers = ({ spec }: Pod): readonly Container[] => [...(spec.initContainers ?? []), ...spec.containers];

/** NaN where kubelet reads a number that we do not, such as 1e2. */
const slicesOf = ({ resources }: Container): number =>
  parseQuantity(resources?.limits?.[SLICE_RESOURCE] ?? '0') ?? Number.NaN;

const hasSlices = (container: Container): boolean => slicesOf(container) !== 0;

/** Whether any container has a limit of slices. */
export const asksForSlices = (pod: Pod): boolean => allContainers(pod).some(hasSlices);

/** The containers of a pod that share its vGPU by their limits. */
export function containersWithSlices(pod: Pod): readonly string[] {
  const names = longRunning(pod);
  return allContainers(pod).flatMap((container) =>
    hasSlices(container) && names.includes(container.name) ? [container.name] : [],
  );
}

const listedContainers = (pod: Pod): readonly string[] | undefined => wordsOf(pod).containers?.split(',');

/** Nothing that a user has written to us is passed over. */
function unknownIn({ metadata }: Pod): Wrong | undefined {
  const known: readonly string[] = Object.values(POD_ANNOTATIONS);
  const unknown = Object.keys(metadata.annotations ?? {}).find(
    (name) => name.startsWith(`${API_GROUP}/`) && !known.includes(name),
  );
  if (unknown === undefined) return undefined;
  const guess = nearest(unknown, known);
  const hint = guess === undefined ? `known are ${known.join(', ')}` : `did you mean ${guess}?`;
  return `unknown annotation ${unknown}; ${hint}`;
}

function strangersIn(pod: Pod): Wrong | undefined {
  const strangers = (listedContainers(pod) ?? []).filter((name) => !longRunning(pod).includes(name));
  if (strangers.length === 0) return undefined;
  const names = strangers.map((name) => `"${name}"`).join(' and ');
  const isInit = pod.spec.initContainers?.some(({ name }) => strangers.includes(name)) === true;
  const why = isInit
    ? 'an init container has ended before the pod has its vGPU, unless it is a sidecar (restartPolicy: Always)'
    : `the pod has no such container; it has ${longRunning(pod).join(', ')}`;
  return `${POD_ANNOTATIONS.containers} names ${names}, but ${why}`;
}

function ownAsk({ memory, compute, pool = DEFAULT_POOL }: Words, namespace: string): Result<Ask, Wrong> {
  if (memory === undefined) return err(`${POD_ANNOTATIONS.memory} is missing: say how much, such as 4Gi`);
  if (compute === undefined) {
    return err(`${POD_ANNOTATIONS.compute} is missing: say how much, in percent of one GPU, such as "25"`);
  }
  const spec = { poolName: pool, resources: { memory, compute: /^[0-9]{1,3}$/.test(compute) ? Number(compute) : NaN } };
  if (Number.isNaN(spec.resources.compute)) {
    return err(`${POD_ANNOTATIONS.compute} must be a whole number from 1 to 100, not "${compute}"`);
  }
  const draft = { apiVersion: API_VERSION, kind: 'VGPUClaim', metadata: { name: 'x', namespace }, spec };
  const admitted = admit('VGPUClaim', draft);
  return admitted.ok ? ok({ kind: 'Own', spec }) : err(admitted.error.map(inAnnotations).join('; '));
}

const FIELDS: Readonly<Record<string, string>> = {
  'spec.poolName': POD_ANNOTATIONS.pool,
  'spec.resources.memory': POD_ANNOTATIONS.memory,
  'spec.resources.compute': POD_ANNOTATIONS.compute,
};

/** The author of a pod knows annotations, not the fields of a claim that is made from them. */
const inAnnotations = ({ field, message }: Problem): string =>
  field in FIELDS ? `${FIELDS[field]} ${message}` : problemText({ field, message });
