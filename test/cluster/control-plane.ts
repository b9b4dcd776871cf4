import { join } from 'node:path';
import type { ClusterAuthority } from './certificates.ts';

/** The Service of the API server inside the cluster: the first address of the range. */
export const SERVICE_RANGE = '10.96.0.0/16';
const KUBERNETES_SERVICE = '10.96.0.1';

/** Issues what the API server shows to its clients, to kubelets and to extension servers, and the key of its tokens. */
export async function issueApiServer(authority: ClusterAuthority, addresses: readonly string[]): Promise<void> {
  const service = [
    'kubernetes',
    'kubernetes.default',
    'kubernetes.default.svc',
    'kubernetes.default.svc.cluster.local',
  ];
  await authority.issue('apiserver', {
    name: 'kube-apiserver',
    dns: [...service, 'localhost'],
    ips: [KUBERNETES_SERVICE, '127.0.0.1', ...addresses],
  });
  await authority.issue('apiserver-kubelet-client', {
    name: 'apiserver-kubelet-client',
    organization: 'system:masters',
  });
  await authority.issue('front-proxy-client', { name: 'front-proxy-client' });
  await authority.issueKeyPair('service-account');
}

/** Syncing to disk is left out: what a power cut would lose, no test reads again. */
export function etcdArguments(dataFolder: string, clientUrl: string, peerUrl: string): readonly string[] {
  return [
    `--data-dir=${dataFolder}`,
    '--unsafe-no-fsync',
    `--listen-client-urls=${clientUrl}`,
    `--advertise-client-urls=${clientUrl}`,
    `--listen-peer-urls=${peerUrl}`,
    `--initial-advertise-peer-urls=${peerUrl}`,
    `--initial-cluster=default=${peerUrl}`,
    '--log-level=warn',
  ];
}

export interface ApiServerOptions {
  readonly etcdUrl: string;
  readonly port: number;
  readonly certificates: string;
  readonly extra: readonly string[];
}

export function apiServerArguments({ etcdUrl, port, certificates, extra }: ApiServerOptions): readonly string[] {
  const file = (name: string): string => join(certificates, name);
  return [
    `--etcd-servers=${etcdUrl}`,
    `--secure-port=${port}`,
    `--service-cluster-ip-range=${SERVICE_RANGE}`,
    `--client-ca-file=${file('ca.crt')}`,
    `--tls-cert-file=${file('apiserver.crt')}`,
    `--tls-private-key-file=${file('apiserver.key')}`,
    '--service-account-issuer=https://kubernetes.default.svc.cluster.local',
    `--service-account-key-file=${file('service-account.pub')}`,
    `--service-account-signing-key-file=${file('service-account.key')}`,
    `--kubelet-client-certificate=${file('apiserver-kubelet-client.crt')}`,
    `--kubelet-client-key=${file('apiserver-kubelet-client.key')}`,
    '--kubelet-preferred-address-types=InternalIP',
    `--requestheader-client-ca-file=${file('ca.crt')}`,
    '--requestheader-allowed-names=front-proxy-client',
    '--requestheader-username-headers=X-Remote-User',
    '--requestheader-group-headers=X-Remote-Group',
    '--requestheader-extra-headers-prefix=X-Remote-Extra-',
    `--proxy-client-cert-file=${file('front-proxy-client.crt')}`,
    `--proxy-client-key-file=${file('front-proxy-client.key')}`,
    '--authorization-mode=Node,RBAC',
    '--enable-admission-plugins=NodeRestriction',
    '--allow-privileged=true',
    '--profiling=false',
    ...extra,
  ];
}
