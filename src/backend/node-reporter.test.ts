import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { recordingLog } from '../../test/support/builders.ts';
import { ManualClock } from '../../test/support/manual-clock.ts';
import type { GPUNode } from '../api/kinds.ts';
import { openEmbeddedStore, type EmbeddedStore } from '../embedded/store.ts';
import type { Gpu } from './gpu.ts';
import { startNodeReporter, type NodeReporter } from './node-reporter.ts';

const GPU: Gpu = {
  uuid: 'GPU-a',
  index: 0,
  model: 'Software GPU',
  memoryBytes: 8 * 1024 ** 3,
  computeCapability: '8.0',
  healthy: true,
};
const BEAT_MS = 5000;

let stack: AsyncDisposableStack;
let clock: ManualClock;
let store: EmbeddedStore;
let beats: number;
let labels: Record<string, string>;
let gpus: readonly Gpu[];
let storeIsAway: boolean;

beforeEach(() => {
  stack = new AsyncDisposableStack();
  clock = new ManualClock();
  const directory = mkdtempSync(join(tmpdir(), 'aquifer-reporter-'));
  stack.defer(() => rmSync(directory, { recursive: true }));
  store = stack.use(openEmbeddedStore({ directory, clock }));
  [beats, labels, gpus, storeIsAway] = [0, { zone: 'a' }, [GPU], false];
});
afterEach(() => stack.disposeAsync());

async function start(): Promise<NodeReporter> {
  const get: EmbeddedStore['get'] = (kind, key) =>
    storeIsAway ? Promise.reject(new Error('store is away')) : store.get(kind, key);
  const reporter = await startNodeReporter({
    store: { ...store, get },
    pulse: { beat: () => Promise.resolve(void beats++) },
    clock,
    node: 'gpu-1',
    labels: () => Promise.resolve(labels),
    agent: { version: '1', endpoint: 'gpu-1:9960' },
    inventory: () => Promise.resolve(gpus),
    intervalMs: BEAT_MS,
    log: recordingLog(),
  });
  return stack.use(reporter);
}

const gpuNode = async (): Promise<GPUNode | undefined> => store.get('GPUNode', { name: 'gpu-1' });
const version = async (): Promise<string | undefined> => (await gpuNode())?.metadata.resourceVersion;

test('beats, and writes nothing while nothing changes', async () => {
  await start();
  const before = await version();
  expect(before).toBeDefined();
  await clock.advance(10 * BEAT_MS);
  expect(beats).toBe(11);
  expect(await version()).toBe(before);
});

test('publishes what has changed, takes back labels that the node has no more, and mends what others changed', async () => {
  await start();
  const others = { metadata: { labels: { mine: 'x', zone: 'forged' } } };
  await store.patch('GPUNode', { name: 'gpu-1' }, others);
  await clock.advance(BEAT_MS);
  expect((await gpuNode())?.metadata.labels).toEqual({ mine: 'x', zone: 'a' });
  [labels, gpus] = [{ rack: '7' }, [{ ...GPU, healthy: false, reason: 'XID79' }]];
  await clock.advance(BEAT_MS);
  expect(await gpuNode()).toMatchObject({ status: { gpus: [{ uuid: 'GPU-a', healthy: false, reason: 'XID79' }] } });
  expect((await gpuNode())?.metadata.labels).toEqual({ mine: 'x', rack: '7' });
});

test('makes a GPUNode that was deleted anew', async () => {
  await start();
  await store.delete('GPUNode', { name: 'gpu-1' });
  await clock.advance(BEAT_MS);
  expect((await gpuNode())?.status?.gpus).toHaveLength(1);
});

test('gives no beat while it cannot publish', async () => {
  const reporter = await start();
  storeIsAway = true;
  await clock.advance(3 * BEAT_MS);
  expect(beats).toBe(1);
  expect(reporter.trouble()).toBe('store is away');
  storeIsAway = false;
  await clock.advance(BEAT_MS);
  expect(beats).toBe(2);
  expect(reporter.trouble()).toBeUndefined();
});
