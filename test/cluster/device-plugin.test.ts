import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { resolve } from 'node:path';
import { eventually } from '../support/eventually.ts';
import { BUSYBOX_IMAGE } from './base-images.ts';
import { Cluster } from './cluster.ts';

const MINUTES = 60_000;
const NODE = 'gpu-1';
const RUN_DIR = '/run/aquifer';
const CLIENT_DIR = '/var/lib/aquifer/client/test';
const MAIN = resolve(import.meta.dirname, '../../src/device-plugin/main.ts');
const NODE_SIDE = resolve(import.meta.dirname, '../support/node-side.ts');

/** A pod of busybox with these extended resources; as Aquifer's admission makes it. */
const pod = (name: string, limits: Readonly<Record<string, string>>, script = 'exec sleep 3600'): object => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name },
  spec: {
    nodeSelector: { 'kubernetes.io/hostname': NODE },
    terminationGracePeriodSeconds: 0,
    containers: [
      {
        name: 'main',
        image: BUSYBOX_IMAGE,
        imagePullPolicy: 'Never',
        command: ['/bin/sh', '-ec', script],
        resources: { limits },
        securityContext: { readOnlyRootFilesystem: true, runAsUser: 1000 },
      },
    ],
  },
});
const SLOT = { 'aquifer.dev/slot': '1' };

describe('the device plugin on a real kubelet', () => {
  let cluster: Cluster;
  let plugin: Promise<unknown>;
  const read = async (...words: string[]): Promise<string> => (await cluster.kubectl(words)).stdout.trim();
  const sh = async (script: string): Promise<string> =>
    (await cluster.enter(NODE, ['sh', '-ec', script])).stdout.trim();
  const background = (name: string, command: string): Promise<unknown> =>
    sh(`echo $$ > /run/${name}.pid; exec ${command} > /run/${name}.log 2>&1`).catch((error: unknown) => error);
  const kill = (name: string): Promise<string> => sh(`kill -9 $(cat /run/${name}.pid)`);
  const startPlugin = (): Promise<unknown> =>
    background('plugin', `${process.execPath} ${MAIN} --client-dir ${CLIENT_DIR} --state-dir /var/lib/aquifer/plugin`);

  const allocatable = (resource: string): Promise<string> =>
    read('get', 'node', NODE, `--output=jsonpath={.status.allocatable.aquifer\\.dev/${resource}}`);
  const becomes = (resource: string, count: string) =>
    eventually(
      () => allocatable(resource),
      (is) => is === count,
      2 * MINUTES,
    );
  const publish = async (capacity: number, withdrawn: number): Promise<unknown> =>
    JSON.parse(await sh(`${process.execPath} ${NODE_SIDE} publish ${RUN_DIR} ${capacity} ${withdrawn}`));
  const runs = (...names: string[]): Promise<string> =>
    read('wait', '--for=condition=Ready', '--timeout=120s', ...names.map((name) => `pod/${name}`));
  const exec = (name: string, script: string): Promise<string> => read('exec', name, '--', 'sh', '-c', script);
  const phase = (name: string): Promise<string> => read('get', 'pod', name, '--output=jsonpath={.status.phase}');

  beforeAll(async () => {
    cluster = await Cluster.forTest();
    await sh(
      `mkdir -p ${RUN_DIR} ${CLIENT_DIR}; cd ${CLIENT_DIR}; echo cuda > libcuda.so.1; echo nvml > libnvidia-ml.so.1`,
    );
    void background('connector', `${process.execPath} ${NODE_SIDE} connector ${RUN_DIR}`);
    plugin = startPlugin();
    await becomes('slot', '256');
  }, 60 * MINUTES);

  afterAll(async () => {
    await cluster.down();
    await plugin;
  }, 2 * MINUTES);

  it(
    'gives a container its slot, a fresh socket and the client libraries, and no environment',
    async () => {
      await cluster.apply(pod('first', SLOT));
      await runs('first');
      const slot = (await sh('cat /run/connector.log')).replace('prepared ', '');
      const inode = (where: string): string => `stat -c %i:%a ${where}/session.sock`;
      expect(await exec('first', inode('/run/aquifer'))).toBe(await sh(inode(`${RUN_DIR}/slots/${slot}`)));
      expect(await exec('first', 'stat -c %a:%F /run/aquifer/session.sock')).toBe('666:socket');
      for (const directory of ['/usr/lib/x86_64-linux-gnu', '/usr/lib64']) {
        const names = ['libcuda.so.1', 'libcuda.so', 'libnvidia-ml.so.1'].map((name) => `${directory}/${name}`);
        expect(await exec('first', `cat ${names.join(' ')}`)).toBe('cuda\ncuda\nnvml');
      }
      expect(await exec('first', 'env')).not.toMatch(/aquifer|cuda|slot/i);
      await expect(exec('first', 'touch /run/aquifer/x')).rejects.toThrow('Read-only file system');
    },
    5 * MINUTES,
  );

  it(
    'prepares the slot again before each restart of a container',
    async () => {
      await cluster.apply(pod('loops', SLOT, 'test -S /run/aquifer/session.sock; sleep 1'));
      const restarts = () =>
        read('get', 'pod', 'loops', '--output=jsonpath={.status.containerStatuses[0].restartCount}');
      await eventually(restarts, (count) => Number(count) >= 1, 2 * MINUTES);
      const prepared = (await sh('cat /run/connector.log')).split('\n');
      expect(prepared.length).toBeGreaterThan(new Set(prepared).size); // Some slot came twice.
      await read('delete', 'pod', 'loops', '--now');
    },
    5 * MINUTES,
  );

  it(
    'shows slices going down and up, and lets no pod lose those it has',
    async () => {
      await publish(100, 0);
      await becomes('slice', '100');
      await publish(100, 25);
      await becomes('slice', '75');
      await cluster.apply(pod('sliced', { ...SLOT, 'aquifer.dev/slice': '40' }));
      await runs('sliced');
      // More than is left: what the pod has stays.
      expect(await publish(100, 90)).toEqual({ withheld: 60, short: 30 });
      await becomes('slice', '40');
      expect(await phase('sliced')).toBe('Running');
      await read('delete', 'pod', 'sliced', '--now');
      await becomes('slice', '10');
      await publish(100, 0);
      await becomes('slice', '100');
      const capacity = await read('get', 'node', NODE, '--output=jsonpath={.status.capacity.aquifer\\.dev/slice}');
      expect(capacity).toBe('100');
    },
    5 * MINUTES,
  );

  it(
    'is registered again when kubelet has restarted, and pods go on',
    async () => {
      await cluster.kill(NODE, 'kubelet');
      await cluster.start(NODE, 'kubelet');
      const registrations = () => sh('grep -c registered.with.kubelet /run/plugin.log');
      await eventually(registrations, (count) => Number(count) >= 4, 2 * MINUTES); // Slots and slices, twice.
      await becomes('slot', '256');
      await cluster.apply(pod('after-kubelet', SLOT));
      await runs('first', 'after-kubelet');
    },
    5 * MINUTES,
  );

  it(
    'is waited for by new pods when it is killed, and takes up where it was',
    async () => {
      await kill('plugin');
      await becomes('slot', '0');
      await cluster.apply(pod('waits', SLOT));
      plugin = startPlugin();
      await becomes('slot', '256');
      await becomes('slice', '100');
      await runs('first', 'waits');
      expect(await sh('cat /run/plugin.log')).not.toContain('"level":"error"');
    },
    5 * MINUTES,
  );

  it(
    'waits for a connector that is away, and the container starts when it is back',
    async () => {
      await kill('connector');
      await cluster.apply(pod('patient', SLOT));
      await eventually(
        () => read('get', 'pod', 'patient', '--output=jsonpath={.status.conditions[?(@.type=="PodScheduled")].status}'),
        (scheduled) => scheduled === 'True',
        MINUTES,
      );
      void background('connector', `${process.execPath} ${NODE_SIDE} connector ${RUN_DIR}`);
      await runs('patient');
    },
    5 * MINUTES,
  );
});
