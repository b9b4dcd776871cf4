import type { VGPUClaim } from '../../api/kinds.ts';
import { RELEASE_FINALIZER } from '../../api/vgpu-claim.ts';

const MAX_SHOWN = 20;

/** The release of the chart that is to go. */
export interface Release {
  readonly name: string;
  readonly namespace: string;
  readonly revision: string;
}

/** What to say of the claims that have vGPUs, or whose finalizer nobody would take off without an operator; nothing without one. */
export function inUse(claims: readonly VGPUClaim[], release: Release): string | undefined {
  const held = claims.filter(({ metadata }) => metadata.finalizers?.includes(RELEASE_FINALIZER) === true);
  if (held.length === 0) return undefined;
  const more = held.length - MAX_SHOWN;
  return [
    `${held.length} of ${claims.length} claims are in use:`,
    ...held.slice(0, MAX_SHOWN).map((claim) => `  ${described(claim)}`),
    ...(more > 0 ? [`  and ${more} more: kubectl get vgpuclaims -A`] : []),
    ...hint(release),
  ].join('\n');
}

function described({ metadata, spec, status }: VGPUClaim): string {
  const nodes = new Set((status?.allocations ?? []).map(({ node }) => node));
  const where = nodes.size === 0 ? 'on its way' : `on ${[...nodes].join(', ')}`;
  const owner = metadata.ownerReferences?.find(({ kind }) => kind === 'Pod');
  const whose = owner === undefined ? '' : `, of the pod ${owner.name}`;
  const { memory, compute } = spec.resources;
  return `${metadata.namespace}/${metadata.name}: ${spec.vgpus} x ${memory} and ${compute} % ${where}${whose}`;
}

const hint = ({ name, namespace, revision }: Release): readonly string[] => [
  'Without Aquifer their programs end, and claims that are deleted wait for an operator. Nothing was uninstalled.',
  'Delete the pods and the claims, then uninstall. To uninstall all the same:',
  `  helm uninstall ${name} --namespace ${namespace} --no-hooks`,
  'To keep it (Helm takes a release that it did not uninstall for half uninstalled):',
  `  helm rollback ${name} ${revision} --namespace ${namespace}`,
];
