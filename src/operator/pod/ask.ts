import { admit } from '../../api/admission.ts';
import { DEFAULT_POOL, POD_ANNOTATIONS, type Pod } from '../../api/pod.ts';
import { problemText, type Problem } from '../../api/problem.ts';
import { err, ok, type Result } from '../../lib/result.ts';

/** What a pod asks for. */
export type Ask =
  | { readonly kind: 'Nothing' }
  /** A share of a claim that somebody made. */
  | { readonly kind: 'Claim'; readonly name: string }
  /** A claim of the pod's own. */
  | { readonly kind: 'Own'; readonly spec: OwnSpec };

export interface OwnSpec {
  readonly poolName: string;
  readonly resources: { readonly memory: string; readonly compute: number };
}

/** A sentence of what is wrong and what would be right. */
export type Wrong = string;

/** Reads a pod's annotations, which anybody may have written. */
export function askOf(pod: Pod): Result<Ask, Wrong> {
  const { claim, memory, compute } = wordsOf(pod);
  if (claim === undefined && memory === undefined && compute === undefined) return ok({ kind: 'Nothing' });
  const strangers = strangersIn(pod);
  if (strangers.length > 0) {
    return err(`${POD_ANNOTATIONS.containers} names ${strangers.join(' and ')}, but the pod has no such container`);
  }
  if (claim === undefined) return ownAsk(pod);
  const extra = ([memory, compute] as const).some((word) => word !== undefined);
  if (extra) {
    const { memory: m, compute: c } = POD_ANNOTATIONS;
    return err(`${POD_ANNOTATIONS.claim} names a claim, which says how much it is: leave out ${m} and ${c}`);
  }
  return claim === '' ? err(`${POD_ANNOTATIONS.claim} is empty: name a claim`) : ok({ kind: 'Claim', name: claim });
}

const wordsOf = ({ metadata }: Pod): Partial<Record<keyof typeof POD_ANNOTATIONS, string>> =>
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

const listedContainers = (pod: Pod): readonly string[] | undefined => wordsOf(pod).containers?.split(',');

const strangersIn = (pod: Pod): readonly string[] =>
  (listedContainers(pod) ?? []).filter((name) => !longRunning(pod).includes(name)).map((name) => `"${name}"`);

function ownAsk(pod: Pod): Result<Ask, Wrong> {
  const { memory, compute, pool = DEFAULT_POOL } = wordsOf(pod);
  if (memory === undefined) return err(`${POD_ANNOTATIONS.memory} is missing: say how much, such as 4Gi`);
  if (compute === undefined) {
    return err(`${POD_ANNOTATIONS.compute} is missing: say how much, in percent of one GPU, such as "25"`);
  }
  const spec = { poolName: pool, resources: { memory, compute: /^[0-9]{1,3}$/.test(compute) ? Number(compute) : NaN } };
  if (Number.isNaN(spec.resources.compute)) {
    return err(`${POD_ANNOTATIONS.compute} must be a whole number from 1 to 100, not "${compute}"`);
  }
  const { name, namespace } = { name: 'x', namespace: pod.metadata.namespace };
  const draft = { apiVersion: 'aquifer.dev/v1alpha1', kind: 'VGPUClaim', metadata: { name, namespace }, spec };
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
