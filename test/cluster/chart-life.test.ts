import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
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
  const logLevel = (): Promise<string> =>
    kubectl(
      `get deployment aquifer-operator -n ${NAMESPACE} --output=jsonpath={.spec.template.spec.containers[0].args}`,
    );
  /** What of ours is left on a node. */
  const leftOn = async (node: NodeName): Promise<readonly string[]> => {
    const places = ['/run/aquifer', '/var/lib/aquifer', '/var/lib/kubelet/device-plugins', '/var/run/cdi', '/etc/cdi'];
    const find = `for p in ${places.join(' ')}; do if [ -e $p ]; then find $p -iname "*aquifer*"; fi; done`;
    return (await cluster.enter(node, ['sh', '-c', find])).stdout.split('\n').filter((line) => line !== '');
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
    expect(waits).toContain('there is no pool default');
    await kubectl(`apply -f ${REPOSITORY}/examples/pool.yaml`);
    expect(await helm(`test aquifer ${LONG}`)).toMatch(/Phase:\s+Succeeded/);
  });

  test('is rolled back while a program computes', async () => {
    await kubectl(`apply -f ${REPOSITORY}/examples/claim.yaml`);
    await kubectl(`wait --for=condition=Bound vgpuclaim/trainer ${LONG}`);
    await cluster.apply(podOf('trainer', '60'));
    await kubectl(`wait pod/trainer --for=jsonpath={.status.phase}=Running ${LONG}`);
    await helm(`upgrade aquifer ${CHART} --reuse-values --set=logLevel=debug --wait ${LONG}`);
    expect(await logLevel()).toContain('--log-level=debug');
    await helm(`rollback aquifer 1 --wait ${LONG}`);
    expect(await logLevel()).toContain('--log-level=info');
    await kubectl(`wait pod/trainer --for=jsonpath={.status.phase}=Succeeded ${LONG}`);
    expect(await kubectl('logs trainer')).toContain(' 0 wrong');
  });

  test('refuses to go while a claim is in use, names it, and works on', async () => {
    await expect(helm(`uninstall aquifer ${LONG}`)).rejects.toThrow(/default\/trainer: 1 x 2Gi and 30 % on gpu-1/);
    await kubectl('delete pod trainer');
    await helm(`rollback aquifer --wait ${LONG}`);
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
    restartPolicy: 'Never',
    containers: [
      {
        name: 'main',
        image: 'aquifer.dev/examples:0.1.0',
        imagePullPolicy: 'Never',
        command: ['matmul', '/usr/local/share/kernels', '64', seconds],
      },
    ],
  },
});
