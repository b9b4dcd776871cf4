import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { eventually } from '../support/eventually.ts';
import { BUSYBOX_IMAGE } from './base-images.ts';
import { Cluster } from './cluster.ts';
import { hostVeth, NODES, type NodeName } from './topology.ts';

const MINUTES = 60_000;

/** A pod of busybox that runs a script. */
function pod(name: string, node: NodeName, script: string): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels: { app: name } },
    spec: {
      nodeName: node,
      terminationGracePeriodSeconds: 0,
      containers: [
        { name: 'main', image: BUSYBOX_IMAGE, imagePullPolicy: 'Never', command: ['/bin/sh', '-ec', script] },
      ],
    },
  };
}

const SERVER = 'echo "$HOSTNAME" > /tmp/index.html; exec httpd -f -p 8080 -h /tmp';

/** Where Kubernetes, containerd and kubectl put things by default: those of the machine are not the cluster's. */
const FOLDERS_OF_OTHERS = [
  '/etc/cni',
  '/etc/kubernetes',
  '/opt/cni',
  '/opt/containerd',
  '/run/containerd',
  '/run/netns',
  '/usr/libexec/kubernetes',
  '/var/lib/containerd',
  '/var/lib/kubelet',
  '/var/log/pods',
  `${homedir()}/.kube`,
];
const existedBefore = FOLDERS_OF_OTHERS.filter((folder) => existsSync(folder));

describe('the test cluster', () => {
  let cluster: Cluster;
  const read = async (...words: string[]): Promise<string> => (await cluster.kubectl(words)).stdout.trim();
  const ready = (...pods: string[]): Promise<string> =>
    read('wait', '--for=condition=Ready', '--timeout=120s', ...pods.map((name) => `pod/${name}`));

  beforeAll(async () => {
    cluster = await Cluster.forTest();
  }, 60 * MINUTES);

  afterAll(async () => {
    const cgroups = readFileSync(`${cluster.state}/gpu-1/cgroups`, 'utf8').trim().split('\n');
    await cluster.down();
    expect(existsSync(cluster.state)).toBe(false);
    expect(cgroups.filter((cgroup) => existsSync(cgroup))).toEqual([]);
    expect(readdirSync('/sys/class/net')).not.toContain(hostVeth(cluster.id));
    expect(readFileSync('/proc/mounts', 'utf8')).not.toContain(cluster.state);
    expect(FOLDERS_OF_OTHERS.filter((folder) => existsSync(folder))).toEqual(existedBefore);
  }, 2 * MINUTES);

  it('has two nodes of Kubernetes 1.36', async () => {
    const nodes = await read(
      'get',
      'nodes',
      '--output=jsonpath={range .items[*]}{.metadata.name} {.status.nodeInfo.kubeletVersion}{"\\n"}{end}',
    );
    expect(nodes.split('\n')).toEqual(['cpu-1 v1.36.3', 'gpu-1 v1.36.3']);
  });

  it(
    'runs a pod on each node, and they reach each other by address, by Service and by name',
    async () => {
      await cluster.apply(...NODES.map(({ name }) => pod(`server-${name}`, name, SERVER)), {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: 'web' },
        spec: { selector: { app: 'server-gpu-1' }, ports: [{ port: 80, targetPort: 8080 }] },
      });
      await ready('server-gpu-1', 'server-cpu-1');
      const ip = (name: string): Promise<string> => read('get', 'pod', name, '--output=jsonpath={.status.podIP}');
      const get = (from: string, url: string): Promise<string> => read('exec', from, '--', 'wget', '-qO-', url);
      expect(await get('server-cpu-1', `http://${await ip('server-gpu-1')}:8080`)).toBe('server-gpu-1');
      expect(await get('server-gpu-1', `http://${await ip('server-cpu-1')}:8080`)).toBe('server-cpu-1');
      const byName = await eventually(
        () => get('server-cpu-1', 'http://web.default.svc.cluster.local').catch(String),
        (answer) => answer === 'server-gpu-1',
      );
      expect(byName).toBe('server-gpu-1');
    },
    5 * MINUTES,
  );

  it(
    'lets a pod go on while kubelet is gone, and has the node back after its restart',
    async () => {
      await cluster.apply(pod('survivor', 'cpu-1', SERVER));
      await ready('survivor');
      await cluster.kill('cpu-1', 'kubelet');
      await expect(read('exec', 'survivor', '--', 'true')).rejects.toThrow();
      await cluster.start('cpu-1', 'kubelet');
      await eventually(
        () => read('exec', 'survivor', '--', 'hostname').catch(String),
        (name) => name === 'survivor',
        60_000,
      );
      expect(
        await read('get', 'pod', 'survivor', '--output=jsonpath={.status.containerStatuses[0].restartCount}'),
      ).toBe('0');
    },
    5 * MINUTES,
  );

  it(
    'has its objects back after a crash of the API server and of etcd',
    async () => {
      await read('create', 'configmap', 'kept', '--from-literal=a=1');
      await cluster.kill('control-plane', 'kube-apiserver');
      await cluster.kill('control-plane', 'etcd');
      await cluster.start('control-plane', 'etcd');
      await cluster.start('control-plane', 'kube-apiserver');
      const value = await eventually(
        () => read('get', 'configmap', 'kept', '--output=jsonpath={.data.a}').catch(String),
        (answer) => answer === '1',
        120_000,
      );
      expect(value).toBe('1');
    },
    5 * MINUTES,
  );

  it(
    'lies beside another one',
    async () => {
      await using other = await Cluster.forTest();
      const { stdout } = await other.kubectl(['get', 'pods', '--output=name']);
      expect(stdout).toBe('');
      expect(await read('get', 'pod', 'survivor', '--output=name')).toBe('pod/survivor');
    },
    5 * MINUTES,
  );
});
