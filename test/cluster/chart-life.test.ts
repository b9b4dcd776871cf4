import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { VERSION } from '../../src/lib/version.ts';
import { CHART, NAMESPACE } from '../support/chart.ts';
import { eventually } from '../support/eventually.ts';
import { Cluster } from './cluster.ts';
import { NODES, type NodeName } from './topology.ts';

const MINUTES = 60_000;
const REPOSITORY = resolve(import.meta.dirname, '../..');
const LONG = '--timeout=300s';

jest.setTimeout(15 * MINUTES);

/** From an install to an uninstall, on two nodes: each test goes on where the one before ended. */
describe('the life of a release', () => {
  let cluster: Cluster;
  const kubectl = async (line: string): Promise<string> => (await cluster.kubectl(line.split(' '))).stdout;
  const helm = async (line: string): Promise<string> => {
    const { stdout, stderr } = await cluster.helm([...line.split(' '), `--namespace=${NAMESPACE}`]);
    return stdout + stderr;
  };
  const operatorImage = (): Promise<string> =>
    kubectl(
      `get deployment aquifer-operator -n ${NAMESPACE} --output=jsonpath={.spec.template.spec.containers[0].image}`,
    );
  const on = async (node: NodeName, ...words: string[]): Promise<readonly string[]> =>
    (await cluster.enter(node, words)).stdout.split('\n').filter((line) => line !== '');
  /** The versions whose client libraries are on a node. */
  const clientsOn = (node: NodeName): Promise<readonly string[]> => on(node, 'ls', '/var/lib/aquifer/client');
  const tagImages = async (node: NodeName, tag: string): Promise<void> => {
    for (const image of ['operator', 'node'].map((name) => `aquifer.dev/${name}`)) {
      await on(node, 'ctr', '--namespace', 'k8s.io', 'images', 'tag', `${image}:${VERSION}`, `${image}:${tag}`);
    }
  };
  /** What of ours is left on a node. */
  const leftOn = (node: NodeName): Promise<readonly string[]> => {
    const places = ['/run/aquifer', '/var/lib/aquifer', '/var/lib/kubelet/device-plugins', '/var/run/cdi', '/etc/cdi'];
    const find = `for p in ${places.join(' ')}; do if [ -e $p ]; then find $p -iname "*aquifer*"; fi; done`;
    return on(node, 'sh', '-c', find);
  };

  beforeAll(async () => {
    const archives = ['operator', 'node', 'examples'].map((name) => `${REPOSITORY}/build/images/${name}.tar`);
    if (!archives.every((archive) => existsSync(archive))) throw new Error('make images first');
    cluster = await Cluster.forTest();
    for (const archive of archives) await cluster.load(archive);
    await kubectl('label node gpu-1 aquifer.dev/gpu=true');
  }, 60 * MINUTES);

  afterAll(() => cluster.down(), 2 * MINUTES);

  test('installs, and says by helm test whether a pod gets a vGPU', async () => {
    const values = '--set=gpuNodes.softwareGpus=1x8Gi,image.pullPolicy=Never';
    await helm(`install aquifer ${CHART} --create-namespace ${values} --wait ${LONG}`);
    await expect(helm('test aquifer --timeout=10s')).rejects.toThrow(); // There is no pool yet.
    const waits = await kubectl(`get events -n ${NAMESPACE} --field-selector=involvedObject.name=aquifer-test -o yaml`);
    expect(waits).toContain('pool default does not exist');
    await kubectl(`apply -f ${REPOSITORY}/examples/pool.yaml`);
    expect(await helm(`test aquifer ${LONG}`)).toMatch(/Phase:\s+Succeeded/);
  });

  test('is upgraded and rolled back while a program computes, and keeps the libraries that pods have mounted', async () => {
    await kubectl(`apply -f ${REPOSITORY}/examples/claim.yaml`);
    await kubectl(`wait --for=condition=Bound vgpuclaim/trainer ${LONG}`);
    await cluster.apply(podOf('trainer', '86400'));
    await kubectl(`wait pod/trainer --for=jsonpath={.status.phase}=Running ${LONG}`);
    const node = (await kubectl('get pod trainer --output=jsonpath={.spec.nodeName}')) as NodeName;
    for (const { name } of NODES) await tagImages(name, 'next');
    // Spawners are not updated, for which the default way to wait would wait.
    await helm(`upgrade aquifer ${CHART} --reuse-values --set=image.tag=next --wait=legacy ${LONG}`);
    expect(await operatorImage()).toBe('aquifer.dev/operator:next');
    await eventually(
      () => clientsOn(node),
      (tags) => tags.join() === `${VERSION},next`,
      2 * MINUTES,
    );

    await helm(`rollback aquifer 1 --wait ${LONG}`);
    expect(await operatorImage()).toBe(`aquifer.dev/operator:${VERSION}`);
    for (const { name } of NODES)
      await eventually(
        () => clientsOn(name),
        (tags) => tags.join() === VERSION,
        2 * MINUTES,
      );
  });

  test('refuses to go while a claim is in use, names it, and works on', async () => {
    const said = String(await helm(`uninstall aquifer ${LONG}`).catch((error: unknown) => error));
    expect(said).toContain('default/trainer: 1 x 2Gi and 30 % on gpu-1');
    expect(await kubectl('get pod trainer --output=jsonpath={.status.phase}')).toBe('Running');
    await kubectl('delete pod trainer');
    const [, howToKeep = ''] = /helm (rollback aquifer \d+)/.exec(said) ?? [];
    await helm(`${howToKeep} --wait ${LONG}`);
    await helm(`upgrade aquifer ${CHART} --reuse-values --wait ${LONG}`);
    await cluster.apply(podOf('again', '0'));
    await kubectl(`wait pod/again --for=jsonpath={.status.phase}=Succeeded ${LONG}`);
  });

  test('goes when no claim is in use, and leaves what it says', async () => {
    await kubectl('delete pod again');
    await kubectl('delete vgpuclaim trainer');
    await helm(`uninstall aquifer --wait ${LONG}`);
    await eventually(
      () => kubectl(`get pods,jobs -n ${NAMESPACE} --output=name`),
      (left) => left === '',
      2 * MINUTES,
    );
    const kinds = 'clusterroles,clusterrolebindings,mutatingadmissionpolicies,validatingadmissionpolicies';
    expect(
      (await kubectl(`get ${kinds} --output=name`)).split('\n').filter((name) => name.includes('aquifer')),
    ).toEqual([]);
    for (const { name } of NODES)
      expect([name, await leftOn(name)]).toEqual([name, ['/run/aquifer', '/var/lib/aquifer']]);
    await kubectl('get gpupool default');
  });
});

const podOf = (name: string, seconds: string): object => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, annotations: { 'aquifer.dev/claim': 'trainer' } },
  spec: {
    restartPolicy: 'Never', // It ends for good when its GPU is taken from it.
    terminationGracePeriodSeconds: 1,
    containers: [
      {
        name: 'main',
        image: `aquifer.dev/examples:${VERSION}`,
        imagePullPolicy: 'Never',
        command: ['matmul', '/usr/local/share/kernels', '64', seconds],
      },
    ],
  },
});
