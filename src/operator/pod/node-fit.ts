import type { Pod, Requirement, SelectorTerm } from '../../api/pod.ts';

export interface NodeView {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** Whether nodeSelector and node affinity let the pod go to the node, as the scheduler reads them. */
export function mayGoTo({ spec }: Pod, node: NodeView): boolean {
  const selector = Object.entries(spec.nodeSelector ?? {});
  if (!selector.every(([key, value]) => node.labels[key] === value)) return false;
  const required = spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  return required === undefined || required.nodeSelectorTerms.some((term) => matchesTerm(term, node));
}

/** A term without any requirement matches nothing. */
function matchesTerm({ matchExpressions = [], matchFields = [] }: SelectorTerm, { name, labels }: NodeView): boolean {
  if (matchExpressions.length + matchFields.length === 0) return false;
  return (
    matchExpressions.every((requirement) => matches(requirement, labels[requirement.key])) &&
    matchFields.every((requirement) => matches(requirement, requirement.key === 'metadata.name' ? name : undefined))
  );
}

type Test = (value: string | undefined, wanted: readonly string[]) => boolean;

const OPERATORS: ReadonlyMap<string, Test> = new Map<string, Test>([
  ['In', (value, wanted) => value !== undefined && wanted.includes(value)],
  ['NotIn', (value, wanted) => value === undefined || !wanted.includes(value)],
  ['Exists', (value) => value !== undefined],
  ['DoesNotExist', (value) => value === undefined],
  ['Gt', (value, [than]) => isWhole(value) && isWhole(than) && BigInt(value) > BigInt(than)],
  ['Lt', (value, [than]) => isWhole(value) && isWhole(than) && BigInt(value) < BigInt(than)],
]);

/** What a later Kubernetes may ask is not met: rather wait than be bound to where the pod may not go. */
const matches = ({ operator, values = [] }: Requirement, value: string | undefined): boolean =>
  OPERATORS.get(operator)?.(value, values) ?? false;

const isWhole = (text: string | undefined): text is string => text !== undefined && /^-?[0-9]{1,19}$/.test(text);
