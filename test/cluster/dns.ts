import { CONTROL_PLANE_ADDRESS, DNS_SERVICE, DOMAIN } from './topology.ts';

/** CoreDNS runs beside the API server, not as a pod: no image to load before the first name is answered. */
export const corefile = (kubeconfig: string): string => `.:53 {
    bind ${CONTROL_PLANE_ADDRESS}
    errors
    ready ${CONTROL_PLANE_ADDRESS}:8181
    kubernetes ${DOMAIN} in-addr.arpa {
        kubeconfig ${kubeconfig}
        pods insecure
    }
    cache 5
}
`;

/** The Service by which pods reach it, where they look for it in any cluster. */
export function dnsObjects(): readonly object[] {
  const metadata = { name: 'kube-dns', namespace: 'kube-system' };
  const ports = (['UDP', 'TCP'] as const).map((protocol) => ({
    name: `dns-${protocol.toLowerCase()}`,
    port: 53,
    protocol,
  }));
  return [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { ...metadata, labels: { 'k8s-app': 'kube-dns' } },
      spec: { clusterIP: DNS_SERVICE, ports },
    },
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { ...metadata, labels: { 'kubernetes.io/service-name': metadata.name } },
      addressType: 'IPv4',
      endpoints: [{ addresses: [CONTROL_PLANE_ADDRESS], conditions: { ready: true } }],
      ports,
    },
  ];
}
