import { join } from 'node:path';
import { DNS_SERVICE, DOMAIN, POD_RANGE, type Node, type Where } from './topology.ts';

/** The image in which the sandbox of every pod begins. */
export const PAUSE_IMAGE = 'aquifer.test/pause:1';

/** The CNI network of a node: a routed link for each pod, no masquerade, addresses from the node's own range. */
export function cniNetwork({ podRange }: Node): object {
  const ranges = [[{ subnet: podRange }]];
  return {
    cniVersion: '1.0.0',
    name: 'pods',
    plugins: [
      {
        type: 'ptp',
        ipMasq: false,
        ipam: { type: 'host-local', dataDir: '/run/cni-ipam', ranges, routes: [{ dst: '0.0.0.0/0' }] },
      },
      { type: 'portmap', backend: 'nftables', capabilities: { portMappings: true } },
    ],
  };
}

/** oom_score_adj cannot be lowered without CAP_SYS_RESOURCE, so it is left alone everywhere. */
export function containerdConfig(folder: string, bin: string): string {
  return `version = 3
root = '/var/lib/containerd'
state = '/run/containerd'
oom_score = 0
imports = []

[grpc]
  address = '/run/containerd/containerd.sock'

[plugins.'io.containerd.internal.v1.opt']
  path = '/var/lib/containerd/opt'

[plugins.'io.containerd.cri.v1.images']
  snapshotter = 'overlayfs'
  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = '${PAUSE_IMAGE}'

[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
  disable_apparmor = true
  cdi_spec_dirs = ['/run/cdi']
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ['${bin}']
    conf_dir = '${join(folder, 'cni')}'
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
    runtime_type = 'io.containerd.runc.v2'
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
      BinaryName = 'runc'
      SystemdCgroup = false
`;
}

/** Nothing is evicted and no image collected: the disk and the memory are those of a developer's machine. */
export function kubeletConfig(folder: string, certificates: string): object {
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    failCgroupV1: false,
    cgroupDriver: 'cgroupfs',
    failSwapOn: false,
    makeIPTablesUtilChains: false,
    protectKernelDefaults: false,
    oomScoreAdj: 0,
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: join(certificates, 'ca.crt') },
    },
    authorization: { mode: 'Webhook' },
    containerRuntimeEndpoint: 'unix:///run/containerd/containerd.sock',
    volumePluginDir: '/var/lib/kubelet/volume-plugins',
    resolvConf: join(folder, 'resolv.conf'),
    clusterDomain: DOMAIN,
    clusterDNS: [DNS_SERVICE],
    enforceNodeAllocatable: ['pods'],
    evictionHard: {
      'memory.available': '1Mi',
      'nodefs.available': '0%',
      'nodefs.inodesFree': '0%',
      'imagefs.available': '0%',
      'imagefs.inodesFree': '0%',
    },
    imageGCHighThresholdPercent: 100,
    imageMinimumGCAge: '240h',
    registerNode: true,
    syncFrequency: '5s',
    nodeStatusUpdateFrequency: '2s',
  };
}

export function kubeProxyConfig(where: Where, address: string, kubeconfig: string): object {
  return {
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    mode: 'nftables',
    hostnameOverride: where,
    clusterCIDR: POD_RANGE,
    detectLocalMode: 'ClusterCIDR',
    oomScoreAdj: 0,
    bindAddress: address,
    healthzBindAddress: '127.0.0.1:10256',
    metricsBindAddress: '127.0.0.1:10249',
    // The kernel's own limits, which hold for the machine, stay as they are.
    conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: '0s', tcpCloseWaitTimeout: '0s' },
    nftables: { syncPeriod: '30s', minSyncPeriod: '100ms' },
    clientConnection: { kubeconfig },
  };
}
