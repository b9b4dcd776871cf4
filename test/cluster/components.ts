/** A Go module of which the test cluster runs commands. */
export interface Component {
  readonly name: string;
  readonly version: string;
  /** The folder under modules/ whose go.mod pins it. Without one, `go install` builds the package at its version. */
  readonly wrapper?: string;
  readonly ldflags?: readonly string[];
  /** Name of the command → its package. */
  readonly commands: Readonly<Record<string, string>>;
}

const KUBERNETES = '1.36.3';

const kubernetesVersion = Object.entries({
  gitVersion: `v${KUBERNETES}`,
  gitMajor: '1',
  gitMinor: '36',
  gitTreeState: 'clean',
  gitCommit: 'module',
  buildDate: '2026-01-01T00:00:00Z',
}).map(([name, value]) => `-X k8s.io/component-base/version.${name}=${value}`);

/** What the test cluster is made of, with the versions that go together. */
export const COMPONENTS = [
  { name: 'etcd', version: '3.6.16', wrapper: 'etcd', commands: { etcd: 'go.etcd.io/etcd/server/v3' } },
  {
    name: 'kubernetes',
    version: KUBERNETES,
    wrapper: 'kubernetes',
    ldflags: kubernetesVersion,
    commands: {
      'kube-apiserver': 'k8s.io/kubernetes/cmd/kube-apiserver',
      kubectl: 'k8s.io/kubernetes/cmd/kubectl',
      'kube-controller-manager': 'k8s.io/kubernetes/cmd/kube-controller-manager',
      'kube-scheduler': 'k8s.io/kubernetes/cmd/kube-scheduler',
      'kube-proxy': 'k8s.io/kubernetes/cmd/kube-proxy',
      kubelet: 'k8s.io/kubernetes/cmd/kubelet',
    },
  },
  {
    name: 'containerd',
    version: '2.3.7',
    commands: {
      containerd: 'github.com/containerd/containerd/v2/cmd/containerd',
      'containerd-shim-runc-v2': 'github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2',
      ctr: 'github.com/containerd/containerd/v2/cmd/ctr',
    },
  },
  {
    name: 'cni-plugins',
    version: '1.9.1',
    commands: {
      ptp: 'github.com/containernetworking/plugins/plugins/main/ptp',
      loopback: 'github.com/containernetworking/plugins/plugins/main/loopback',
      'host-local': 'github.com/containernetworking/plugins/plugins/ipam/host-local',
      portmap: 'github.com/containernetworking/plugins/plugins/meta/portmap',
    },
  },
  { name: 'pause', version: '1', wrapper: 'pause', commands: { pause: 'aquifer.dev/test/cluster/pause' } },
  { name: 'coredns', version: '1.14.7', commands: { coredns: 'github.com/coredns/coredns' } },
  { name: 'helm', version: '4.3.1', commands: { helm: 'helm.sh/helm/v4/cmd/helm' } },
] as const satisfies readonly Component[];

/** A command of the test cluster. */
export type Command = {
  [C in (typeof COMPONENTS)[number] as C['name']]: keyof C['commands'];
}[(typeof COMPONENTS)[number]['name']];

export const ALL_COMMANDS = COMPONENTS.flatMap(({ commands }) => Object.keys(commands)) as readonly Command[];
/** What a cluster cannot run without. */
export const CLUSTER_COMMANDS = ALL_COMMANDS.filter((command) => command !== 'helm');

/** runc, nft and busybox, which no Go module offers, with the libraries that a small Debian may lack. */
export const DEBIAN_PACKAGES: readonly string[] = [
  'runc',
  'libseccomp2',
  'nftables',
  'libnftables1',
  'libnftnl11',
  'libjansson4',
  'libmnl0',
  'libxtables12',
  'libgmp10',
  'libedit2',
  'libbsd0',
  'libmd0',
  'busybox-static',
];
