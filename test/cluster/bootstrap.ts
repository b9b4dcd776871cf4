import { dnsObjects } from './dns.ts';

/** What an installer of Kubernetes would put into a new cluster. */
export function bootstrapObjects(): object {
  const role = 'system:coredns';
  const rule = (apiGroups: readonly string[], resources: readonly string[]): object => ({
    apiGroups,
    resources,
    verbs: ['list', 'watch'],
  });
  const access = [
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRole',
      metadata: { name: role },
      rules: [rule([''], ['services', 'namespaces', 'pods']), rule(['discovery.k8s.io'], ['endpointslices'])],
    },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata: { name: role },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: role },
      subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: role }],
    },
  ];
  return { apiVersion: 'v1', kind: 'List', items: [...access, ...dnsObjects()] };
}
