import { afterAll, afterEach, beforeAll, beforeEach, expect, jest, test } from '@jest/globals';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { GPUNode } from '../../src/api/kinds.ts';
import { agentPaths, makeAgentPaths } from '../../src/backend/agent-paths.ts';
import type { Backend } from '../../src/backend/backend.ts';
import { startGpuNode } from '../../src/backend/gpu-node.ts';
import { connect } from '../../src/kube/connection.ts';
import { kindResources } from '../../src/kube/resource.ts';
import { serviceAccount } from '../../src/kube/service-account.ts';
import { kubeStore } from '../../src/kube/store.ts';
import { serveLines } from '../../src/ipc/line-server.ts';
import { jsonEqual } from '../../src/lib/json-equal.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';
import { createServiceAccount, grantAgents, mountServiceAccount } from '../support/agent-token.ts';
import { recordingLog } from '../support/builders.ts';
import { eventually } from '../support/eventually.ts';
import { startKube, type KubeFixture } from '../support/kube-fixture.ts';
import { AGENT, startOperators } from '../support/node-api-fixture.ts';

const NAMESPACE = 'aquifer-system';
const NODE = 'gpu-1';

jest.setTimeout(120_000);

let kube: KubeFixture;
let folder: string;
let operators: Awaited<ReturnType<typeof startOperators>>;
beforeAll(async () => {
  kube = await startKube([NAMESPACE]);
  folder = mkdtempSync(join(tmpdir(), 'aq-gpu-node-'));
  await createServiceAccount(kube.connection, NAMESPACE, 'aquifer-node');
  await grantAgents(kube.connection, NAMESPACE);
  await mountServiceAccount(kube, folder);
}, 180_000);
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  await kube[Symbol.asyncDispose]();
});
beforeEach(async () => {
  operators = await startOperators();
  operators.tokens.set('token', { serviceAccount: AGENT, node: NODE });
  await kube.connection.call({ method: 'POST', path: '/api/v1/nodes', body: nodeWith({ 'aquifer.dev/gpu': 'true' }) });
});
afterEach(async () => {
  await operators[Symbol.asyncDispose]();
  for (const path of [`/api/v1/nodes/${NODE}`, `/apis/aquifer.dev/v1alpha1/gpunodes/${NODE}`])
    await kube.connection.call({ method: 'DELETE', path }).catch(() => undefined);
});

const contentType = 'application/merge-patch+json';
const nodeWith = (labels: object) => ({ apiVersion: 'v1', kind: 'Node', metadata: { name: NODE, labels } });

const gpu = (index: number) => ({
  uuid: `GPU-${index}`,
  index,
  model: 'Software GPU',
  memoryBytes: 8 * 1024 ** 3,
  computeCapability: '8.0',
  healthy: true,
});

/** A worker that prints this inventory; with none it fails, as where there is no driver. */
function worker(gpus: readonly object[] | undefined): void {
  const print = gpus === undefined ? 'echo no driver >&2; exit 1' : `echo '${JSON.stringify(gpus)}'`;
  writeFileSync(join(folder, 'worker'), `#!/bin/sh\n${print}\n`);
  chmodSync(join(folder, 'worker'), 0o755);
}

async function started(stack: AsyncDisposableStack, plugin = 'no'): Promise<Backend> {
  const runDir = mkdtempSync(join(folder, 'run-'));
  const paths = { ...agentPaths(runDir), devicePluginSocket: join(folder, `${plugin}.sock`) };
  makeAgentPaths(runDir, paths);
  const stop = new AbortController();
  stack.defer(() => stop.abort());
  const access = serviceAccount(kube.api.url, folder);
  const backend = await startGpuNode({
    node: NODE,
    namespace: NAMESPACE,
    endpoint: '10.0.0.1:9960',
    heartbeatMs: 100,
    paths,
    worker: join(folder, 'worker'),
    gpus: { driver: 'libcuda.so.1', environment: { PATH: '/usr/bin:/bin' } },
    operator: operators.client('token'),
    connection: stack.use(connect({ loadConfig: () => access, clock: systemClock })),
    clock: systemClock,
    log: recordingLog(),
    onSession: () => undefined,
    signal: stop.signal,
  });
  return stack.use(backend);
}

const gpuNode = async (): Promise<GPUNode | undefined> =>
  kubeStore({
    connection: kube.connection,
    clock: systemClock,
    manager: 'test',
    resources: kindResources,
  }).get('GPUNode', { name: NODE });

const isMissing = (uuid: string) => (node: GPUNode | undefined) =>
  node?.status?.gpus?.some((each) => each.uuid === uuid && !each.healthy && each.reason === 'NotFound') === true;

test('the node is published with its labels and GPUs, and with what becomes of them', async () => {
  await using stack = new AsyncDisposableStack();
  worker([gpu(0), gpu(1)]);
  const backend = await started(stack);
  expect(backend.trouble()).toBeUndefined();
  const published = await gpuNode();
  expect(published?.metadata.labels).toEqual({ 'aquifer.dev/gpu': 'true' });
  expect(published?.status?.agent?.endpoint).toBe('10.0.0.1:9960');
  expect(published?.status?.gpus).toMatchObject([
    { uuid: 'GPU-0', memory: '8Gi', healthy: true },
    { uuid: 'GPU-1', memory: '8Gi', healthy: true },
  ]);
  worker([gpu(0)]);
  await eventually(gpuNode, isMissing('GPU-1'));
});

test("what the operator has written of the node stays, and the next agent's GPUs are those of before", async () => {
  worker([gpu(0)]);
  {
    await using stack = new AsyncDisposableStack();
    await started(stack);
  }
  const path = `/apis/aquifer.dev/v1alpha1/gpunodes/${NODE}/status?fieldManager=aquifer-operator`;
  const promised = [{ uuid: 'GPU-0', memory: '4Gi', compute: 50, claims: 1 }];
  await kube.connection.call({ method: 'PATCH', path, body: { status: { promised } }, contentType });
  worker(undefined);
  await using stack = new AsyncDisposableStack();
  const backend = await started(stack);
  const now = await gpuNode();
  expect(now?.status?.promised).toEqual(promised);
  expect(now?.status?.gpus).toMatchObject([{ uuid: 'GPU-0', healthy: false, reason: 'InventoryFailed' }]);
  expect(backend.gpus()).toHaveLength(1);
});

test('the device plugin is told of the slices that the operator counts on this node, also one that comes later', async () => {
  await using stack = new AsyncDisposableStack();
  worker([gpu(0)]);
  await started(stack, 'plugin');
  const count = (name: string, slices: object) => {
    const path = `/apis/aquifer.dev/v1alpha1/gpunodes/${name}/status?fieldManager=aquifer-operator`;
    return kube.connection.call({ method: 'PATCH', path, body: { status: { slices } }, contentType });
  };
  const other = { apiVersion: 'aquifer.dev/v1alpha1', kind: 'GPUNode', metadata: { name: 'gpu-2' } };
  await kube.connection.call({ method: 'POST', path: '/apis/aquifer.dev/v1alpha1/gpunodes', body: other });
  await count(NODE, { capacity: 100, withdrawn: 40 });
  await count('gpu-2', { capacity: 7, withdrawn: 0 });

  const told: object[] = [];
  const plugin = await serveLines(join(folder, 'plugin.sock'), 'device-plugin', {
    request(_, __, { capacity, withdrawn }) {
      told.push({ capacity, withdrawn });
      return Promise.resolve({ withheld: withdrawn, short: 0 });
    },
    failed: () => undefined,
  });
  stack.use(plugin);
  const last = (wanted: object) =>
    eventually(
      () => told.at(-1),
      (is) => jsonEqual(is, wanted),
      30_000,
    );
  await last({ capacity: 100, withdrawn: 40 });
  await count(NODE, { capacity: 100, withdrawn: 0 });
  await last({ capacity: 100, withdrawn: 0 });
  await eventually(gpuNode, (node) => node?.status?.slicesOffered === 100);
  expect(told).not.toContainEqual({ capacity: 7, withdrawn: 0 });
});

test('an API server that is away at the start is waited for, while the GPUs are known', async () => {
  await using stack = new AsyncDisposableStack();
  worker([gpu(0)]);
  await kube.api.kill();
  const backend = await started(stack);
  expect(backend.trouble()).toContain('no answer');
  expect(backend.gpus().map(({ uuid }) => uuid)).toEqual(['GPU-0']);
  await kube.api.start();
  await eventually(backend.trouble, (trouble) => trouble === undefined);
  expect((await gpuNode())?.status?.gpus).toHaveLength(1);
});
