import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bootstrapObjects } from './bootstrap.ts';
import { ClusterAuthority } from './certificates.ts';
import { apiServerArguments, etcdArguments, issueApiServer } from './control-plane.ts';
import { corefile } from './dns.ts';
import { writeKubeconfig } from './kubeconfig.ts';
import { cniNetwork, containerdConfig, kubeletConfig, kubeProxyConfig } from './node-files.ts';
import type { Parts } from './parts.ts';
import { CONTROL_PLANE_ADDRESS, hostLink, NODES, SCRIPT_SETTINGS, type Node } from './topology.ts';

const API_URL = `https://${CONTROL_PLANE_ADDRESS}:6443`;

/** Writes all that a cluster is started from: certificates, configuration, and the command of each component. */
export async function writeStateFiles(state: string, { bin, debian }: Parts, id: number): Promise<void> {
  const path = [bin, ...['usr/sbin', 'usr/bin', 'bin'].map((folder) => join(debian, folder)), process.env['PATH']];
  const settings = {
    ...SCRIPT_SETTINGS,
    KUBECACHEDIR: join(state, 'kubectl-cache'),
    PATH: path.join(':'),
    LD_LIBRARY_PATH: join(debian, `usr/lib/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu`),
  };
  const lines = Object.entries(settings).map(([name, value]) => `export ${name}=${quote(value)}\n`);
  writeFileSync(join(state, 'environment'), lines.join(''));
  const certificates = await writeCredentials(state, hostLink(id).cluster);
  writeControlPlane(state, certificates);
  for (const node of NODES) writeNode(state, bin, certificates, node);
}

async function writeCredentials(state: string, hostAddress: string): Promise<string> {
  const authority = await ClusterAuthority.create(join(state, 'pki'));
  await issueApiServer(authority, [CONTROL_PLANE_ADDRESS, hostAddress]);
  const users = [
    { file: 'admin', name: 'admin', organization: 'system:masters' },
    ...['kube-controller-manager', 'kube-scheduler', 'kube-proxy'].map((name) => ({
      file: name,
      name: `system:${name}`,
    })),
    { file: 'coredns', name: 'system:coredns' },
    ...NODES.map(({ name }) => ({ file: name, name: `system:node:${name}`, organization: 'system:nodes' })),
  ];
  mkdirSync(join(state, 'control-plane'));
  for (const { file, ...subject } of users) {
    await authority.issue(file, subject);
    writeKubeconfig(join(state, 'control-plane', `${file}.kubeconfig`), API_URL, authority.folder, file);
  }
  writeKubeconfig(join(state, 'kubeconfig'), `https://${hostAddress}:6443`, authority.folder, 'admin');
  return authority.folder;
}

function writeControlPlane(state: string, certificates: string): void {
  const folder = join(state, 'control-plane');
  const kubeconfig = (name: string): string => join(folder, `${name}.kubeconfig`);
  const delegated = (name: string): readonly string[] =>
    ['kubeconfig', 'authentication-kubeconfig', 'authorization-kubeconfig'].map(
      (flag) => `--${flag}=${kubeconfig(name)}`,
    );
  const certificate = (name: string): string => join(certificates, name);
  const etcdUrl = 'http://127.0.0.1:2379';
  // The API server reaches Services by the address of a pod, as no kube-proxy need be beside it.
  const extra = [`--advertise-address=${CONTROL_PLANE_ADDRESS}`, '--enable-aggregator-routing=true'];
  writeCommand(folder, 'etcd', etcdArguments(join(folder, 'etcd'), etcdUrl, 'http://127.0.0.1:2380'));
  writeCommand(folder, 'kube-apiserver', apiServerArguments({ etcdUrl, port: 6443, certificates, extra }));
  writeCommand(folder, 'kube-controller-manager', [
    ...delegated('kube-controller-manager'),
    `--service-account-private-key-file=${certificate('service-account.key')}`,
    `--root-ca-file=${certificate('ca.crt')}`,
    `--cluster-signing-cert-file=${certificate('ca.crt')}`,
    `--cluster-signing-key-file=${certificate('ca.key')}`,
    '--use-service-account-credentials=true',
    `--flex-volume-plugin-dir=${join(folder, 'volume-plugins')}`, // It makes it, and the machine's own it must not touch.
    '--kube-api-qps=500', // With the default 20 the first ServiceAccount takes seconds more.
    '--kube-api-burst=1000',
    '--leader-elect=false',
    '--bind-address=127.0.0.1',
  ]);
  const scheduler = [...delegated('kube-scheduler'), '--leader-elect=false', '--bind-address=127.0.0.1'];
  writeCommand(folder, 'kube-scheduler', scheduler);
  writeJson(
    folder,
    'kube-proxy.json',
    kubeProxyConfig('control-plane', CONTROL_PLANE_ADDRESS, kubeconfig('kube-proxy')),
  );
  writeCommand(folder, 'kube-proxy', [`--config=${join(folder, 'kube-proxy.json')}`]);
  writeFileSync(join(folder, 'Corefile'), corefile(kubeconfig('coredns')));
  writeCommand(folder, 'coredns', [`-conf=${join(folder, 'Corefile')}`]);
  writeJson(folder, 'bootstrap.json', bootstrapObjects());
}

function writeNode(state: string, bin: string, certificates: string, node: Node): void {
  const folder = join(state, node.name);
  const folders = ['var-lib/containerd', 'var-lib/kubelet', 'var-log', 'cni', 'sysctl'];
  for (const inner of folders) mkdirSync(join(folder, inner), { recursive: true });
  const kubeconfig = (name: string): string => join(state, 'control-plane', `${name}.kubeconfig`);
  writeJson(join(folder, 'cni'), 'pods.conflist', cniNetwork(node));
  writeFileSync(join(folder, 'containerd.toml'), containerdConfig(folder, bin));
  writeFileSync(join(folder, 'resolv.conf'), '');
  writeJson(folder, 'kubelet.json', kubeletConfig(folder, certificates));
  writeJson(folder, 'kube-proxy.json', kubeProxyConfig(node.name, node.address, kubeconfig('kube-proxy')));
  writeCommand(folder, 'containerd', ['--config', join(folder, 'containerd.toml')]);
  writeCommand(folder, 'kubelet', [
    `--config=${join(folder, 'kubelet.json')}`,
    `--kubeconfig=${kubeconfig(node.name)}`,
    `--hostname-override=${node.name}`,
    `--node-ip=${node.address}`,
    '--v=2',
  ]);
  writeCommand(folder, 'kube-proxy', [`--config=${join(folder, 'kube-proxy.json')}`]);
}

const quote = (word: string): string => `'${word.replaceAll("'", String.raw`'\''`)}'`;

/** A file, so that a component that was killed can be started again as it was. */
function writeCommand(folder: string, component: string, words: readonly string[]): void {
  writeFileSync(join(folder, `${component}.command`), `exec ${[component, ...words].map(quote).join(' ')}\n`);
}

function writeJson(folder: string, file: string, value: object): void {
  writeFileSync(join(folder, file), `${JSON.stringify(value, undefined, 2)}\n`);
}
