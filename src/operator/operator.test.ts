import { afterEach, describe, expect, test } from '@jest/globals';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Kinds, VGPUClaim } from '../api/kinds.ts';
import { RELEASE_FINALIZER } from '../api/vgpu-claim.ts';
import { openEmbeddedStore } from '../embedded/store.ts';
import { localHeartbeats } from '../runtime/heartbeats.ts';
import { StoreError, type MergePatch, type Store } from '../runtime/store.ts';
import { gpu, recordingLog } from '../../test/support/builders.ts';
import { ManualClock, settle } from '../../test/support/manual-clock.ts';
import { startOperator, type Operator, type OperatorOptions } from './operator.ts';
import type { SessionControl } from './ports.ts';

let cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.toReversed()) await cleanup();
  cleanups = [];
});

const closed: SessionControl = { close: () => Promise.resolve('closed') };

/** A store in a directory of its own, an operator over it, and a clock to turn. */
function world() {
  const clock = new ManualClock();
  const directory = mkdtempSync(join(tmpdir(), 'aquifer-operator-'));
  cleanups.push(() => rmSync(directory, { recursive: true }));
  const store = openEmbeddedStore({ directory, clock });
  cleanups.push(() => store[Symbol.dispose]());
  const log = recordingLog();
  const heartbeats = localHeartbeats(clock);
  const start = (more: Partial<OperatorOptions> = {}): Operator => {
    const operator = startOperator({ store, heartbeats, sessions: closed, clock, log, ...more });
    cleanups.push(() => operator.stop());
    return operator;
  };
  return { clock, store, log, heartbeats, start };
}

type World = ReturnType<typeof world>;

const NAMESPACE = 'team-a';
const key = (name: string) => ({ namespace: NAMESPACE, name });

async function addPool(store: Store<Kinds>, spec: object = {}): Promise<void> {
  await store.create('GPUPool', { ...head('GPUPool'), metadata: { name: 'default' }, spec });
}

const head = (kind: string) => ({ apiVersion: 'aquifer.dev/v1alpha1', kind });

const report = (gpus: readonly object[]): MergePatch => ({
  status: { agent: { version: '1', endpoint: 'gpu-1:9960' }, gpus },
});

async function addNode({ store }: World, gpus = [gpu('GPU-a', 0), gpu('GPU-b', 1)]): Promise<void> {
  await store.create('GPUNode', { ...head('GPUNode'), metadata: { name: 'gpu-1' }, spec: {} });
  await publish(store, gpus);
}

async function publish(store: Store<Kinds>, gpus: readonly object[]): Promise<void> {
  await store.patch('GPUNode', { name: 'gpu-1' }, report(gpus), { subresource: 'status' });
}

async function addClaim(store: Store<Kinds>, name: string, spec: object = {}): Promise<void> {
  await store.create('VGPUClaim', {
    ...head('VGPUClaim'),
    metadata: { name, namespace: NAMESPACE },
    spec: { poolName: 'default', resources: { memory: '4Gi', compute: 25 }, ...spec },
  });
}

const read = (store: Store<Kinds>, name: string): Promise<VGPUClaim | undefined> => store.get('VGPUClaim', key(name));
const boundCondition = (claim: VGPUClaim | undefined) =>
  claim?.status?.conditions?.find(({ type }) => type === 'Bound');
const reasons = async (store: Store<Kinds>, name: string): Promise<string[]> =>
  (await store.listEvents({ kind: 'VGPUClaim', ...key(name) })).map(({ reason }) => reason);

/** Total memory promised of each GPU, by the statuses in the store. */
async function promisedByGpu(store: Store<Kinds>): Promise<Map<string, number>> {
  const sums = new Map<string, number>();
  for (const { status } of (await store.list('VGPUClaim')).items) {
    for (const a of status?.allocations ?? []) sums.set(a.gpu, (sums.get(a.gpu) ?? 0) + Number.parseInt(a.memory, 10));
  }
  return sums;
}

describe('a claim', () => {
  test('is bound to a GPU, with its finalizer on, and the pool and the node tell it', async () => {
    const w = world();
    await addPool(w.store);
    await addNode(w);
    w.start();
    await w.clock.advance(100);
    await addClaim(w.store, 'trainer');
    await w.clock.advance(1000);

    const claim = await read(w.store, 'trainer');
    expect(claim?.metadata.finalizers).toEqual([RELEASE_FINALIZER]);
    expect(claim?.status).toMatchObject({
      phase: 'Bound',
      allocations: [{ vgpu: 0, node: 'gpu-1', gpu: 'GPU-a', memory: '4Gi', compute: 25, endpoint: 'gpu-1:9960' }],
    });
    expect(await reasons(w.store, 'trainer')).toEqual(['Bound']);
    expect((await w.store.get('GPUPool', { name: 'default' }))?.status).toMatchObject({
      nodes: 1,
      gpus: 2,
      capacity: { memory: '16Gi', compute: 200 },
      promised: { memory: '4Gi', compute: 25 },
      claims: { bound: 1, pending: 0 },
      conditions: [{ type: 'Ready', status: 'True', message: '2 of 2 GPUs on 1 node can be used' }],
    });
    const slices = async () => (await w.store.get('GPUNode', { name: 'gpu-1' }))?.status?.slices;
    expect(await slices()).toEqual({ capacity: 200, withdrawn: 50 });
    await w.store.patch('GPUPool', { name: 'default' }, { spec: { slicesPerGPU: 10 } });
    await w.clock.advance(1000);
    expect(await slices()).toEqual({ capacity: 20, withdrawn: 5 });
    expect((await w.store.get('GPUNode', { name: 'gpu-1' }))?.status?.promised).toEqual([
      { uuid: 'GPU-a', memory: '4Gi', compute: 25, claims: 1 },
      { uuid: 'GPU-b', memory: '0', compute: 0, claims: 0 },
    ]);
  });

  test('whose pool does not exist waits, says so, and is bound when the pool comes', async () => {
    const w = world();
    await addNode(w);
    await addClaim(w.store, 'trainer');
    w.start();
    await w.clock.advance(1000);
    expect(boundCondition(await read(w.store, 'trainer'))).toMatchObject({
      status: 'False',
      reason: 'PoolNotFound',
      message: 'pool default does not exist: create it',
    });

    await addPool(w.store);
    await w.clock.advance(1000);
    expect((await read(w.store, 'trainer'))?.status?.phase).toBe('Bound');
    expect(await reasons(w.store, 'trainer')).toEqual(['PoolNotFound', 'Bound']);
  });

  test('that does not fit waits with the numbers, and gets the share that another gives back', async () => {
    const w = world();
    await addPool(w.store);
    await addNode(w, [gpu('GPU-a', 0)]);
    await addClaim(w.store, 'first');
    w.start();
    await w.clock.advance(1000);
    await addClaim(w.store, 'second', { resources: { memory: '6Gi', compute: 10 } });
    await w.clock.advance(1000);
    expect(boundCondition(await read(w.store, 'second'))?.message).toBe(
      'needs 6Gi on one GPU; the most free is 4Gi, on GPU-a of gpu-1: delete a claim that is not needed, or ask for less',
    );

    await w.store.delete('VGPUClaim', key('first'));
    await w.clock.advance(1000);
    expect(await read(w.store, 'first')).toBeUndefined();
    expect((await read(w.store, 'second'))?.status?.phase).toBe('Bound');
  });

  test('stays bound when its pool is deleted, and a new one is refused', async () => {
    const w = world();
    await addPool(w.store);
    await addNode(w);
    await addClaim(w.store, 'first');
    w.start();
    await w.clock.advance(1000);
    await w.store.delete('GPUPool', { name: 'default' });
    await addClaim(w.store, 'second');
    await w.clock.advance(1000);
    expect((await read(w.store, 'first'))?.status?.phase).toBe('Bound');
    expect(boundCondition(await read(w.store, 'second'))?.reason).toBe('PoolNotFound');
  });

  test('writes nothing while nothing changes', async () => {
    const w = world();
    await addPool(w.store);
    await addNode(w);
    await addClaim(w.store, 'fits');
    await addClaim(w.store, 'too-large', { resources: { memory: '80Gi', compute: 10 } });
    w.start({ agentGraceMs: 3_600_000 });
    await w.clock.advance(2000);
    const before = (await w.store.list('VGPUClaim')).resourceVersion;
    await w.clock.advance(300_000);
    expect((await w.store.list('VGPUClaim')).resourceVersion).toBe(before);
  });
});

describe('release', () => {
  async function boundClaim(w: World, more: Partial<OperatorOptions>): Promise<void> {
    await addPool(w.store);
    await addNode(w);
    await addClaim(w.store, 'trainer');
    w.start({ agentGraceMs: 3_600_000, ...more });
    await w.clock.advance(1000);
    expect((await read(w.store, 'trainer'))?.status?.phase).toBe('Bound');
  }

  test('waits for the sessions of the claim, and holds its share meanwhile', async () => {
    const w = world();
    let open = true;
    await boundClaim(w, { sessions: { close: () => Promise.resolve(open ? 'pending' : 'closed') } });
    await w.store.delete('VGPUClaim', key('trainer'));
    await w.clock.advance(5000);
    expect((await read(w.store, 'trainer'))?.status?.allocations).toHaveLength(1);

    open = false;
    await w.clock.advance(1000);
    expect(await read(w.store, 'trainer')).toBeUndefined();
  });

  test.each([
    ['do not end', () => Promise.resolve('pending' as const)],
    ['cannot be asked about', () => Promise.reject(new Error('no backend'))],
  ])('is forced after its time, with a warning, when sessions %s', async (_what, close) => {
    const w = world();
    const warned: string[] = [];
    const recordEvent: Store<Kinds>['recordEvent'] = (about, event) => {
      if (event.type === 'Warning') warned.push(event.reason);
      return w.store.recordEvent(about, event);
    };
    await boundClaim(w, { sessions: { close }, releaseTimeoutMs: 10_000, store: { ...w.store, recordEvent } });
    await w.store.delete('VGPUClaim', key('trainer'));
    await w.clock.advance(8000);
    expect(await read(w.store, 'trainer')).toBeDefined();
    await w.clock.advance(30_000);
    expect(await read(w.store, 'trainer')).toBeUndefined();
    expect(warned).toContain('ReleaseForced');
  });

  test('marks a claim Released that others still hold, and gives its share to the next', async () => {
    const w = world();
    await boundClaim(w, {});
    const finalizers = [RELEASE_FINALIZER, 'example.com/mine'];
    await w.store.patch('VGPUClaim', key('trainer'), { metadata: { finalizers } });
    await w.clock.advance(1000);
    await w.store.delete('VGPUClaim', key('trainer'));
    await w.clock.advance(1000);
    const claim = await read(w.store, 'trainer');
    expect(claim?.metadata.finalizers).toEqual(['example.com/mine']);
    expect(claim?.status?.phase).toBe('Released');
    expect(claim?.status?.allocations).toBeUndefined();
  });

  test('closes the sessions of a claim whose finalizer somebody took off', async () => {
    const w = world();
    let asked: string[] = [];
    await boundClaim(w, { sessions: { close: (uid) => (asked.push(uid), Promise.resolve('pending')) } });
    const claim = await read(w.store, 'trainer');
    await w.store.delete('VGPUClaim', key('trainer'));
    await settle();
    asked = [];
    await w.store.patch('VGPUClaim', key('trainer'), { metadata: { finalizers: [] } });
    await settle();
    expect(await read(w.store, 'trainer')).toBeUndefined();
    expect(asked).toEqual([claim?.metadata.uid]);
  });
});

describe('a node that does not report', () => {
  test('is lost after the grace period and its claims with it; both recover, and the share was held', async () => {
    const w = world();
    await addPool(w.store);
    await addNode(w);
    w.start({ agentGraceMs: 10_000 });
    await w.clock.advance(100);
    await addClaim(w.store, 'trainer');
    await w.clock.advance(8900);
    expect(await read(w.store, 'trainer')).toMatchObject({ status: { phase: 'Bound' } });

    await w.clock.advance(3000);
    expect(await read(w.store, 'trainer')).toMatchObject({
      status: { phase: 'Lost', conditions: [{ type: 'Bound', status: 'True', reason: 'AgentLost' }] },
    });
    await addClaim(w.store, 'other');
    await w.clock.advance(1000);
    expect(boundCondition(await read(w.store, 'other'))?.reason).toBe('NoHealthyGPUs');

    await w.heartbeats.pulseOf('gpu-1').beat();
    await w.clock.advance(1000);
    expect(await read(w.store, 'trainer')).toMatchObject({
      status: { phase: 'Bound', allocations: [{ gpu: 'GPU-a' }] },
    });
    expect(await reasons(w.store, 'trainer')).toEqual(['Bound', 'AgentLost', 'Recovered']);
    expect(await read(w.store, 'other')).toMatchObject({ status: { phase: 'Bound' } });
  });

  test('is not lost because the operator was down, and stays lost over a restart of the operator', async () => {
    const w = world();
    await addPool(w.store);
    await addNode(w);
    const ready = async () => (await w.store.get('GPUNode', { name: 'gpu-1' }))?.status?.conditions?.[0];
    const first = w.start({ agentGraceMs: 10_000 });
    await w.clock.advance(1000);
    await first.stop();
    await w.clock.advance(60_000);
    const second = w.start({ agentGraceMs: 10_000 });
    await w.clock.advance(9000);
    expect(await ready()).toMatchObject({ status: 'True' });
    await w.clock.advance(2000);
    expect(await ready()).toMatchObject({ status: 'False', reason: 'AgentLost' });
    await second.stop();
    w.start({ agentGraceMs: 10_000 });
    await w.clock.advance(1000);
    expect(await ready()).toMatchObject({ status: 'False', reason: 'AgentLost' });
  });

  test('keeps its claims when only one GPU is ill: that GPU’s claims are Lost, the others not', async () => {
    const w = world();
    await addPool(w.store, { placement: 'Spread' });
    await addNode(w);
    await addClaim(w.store, 'on-a');
    w.start();
    await w.clock.advance(500);
    await addClaim(w.store, 'on-b');
    await w.clock.advance(500);
    await publish(w.store, [gpu('GPU-a', 0, { healthy: false, reason: 'XID79' }), gpu('GPU-b', 1)]);
    await w.clock.advance(500);
    expect(boundCondition(await read(w.store, 'on-a'))).toMatchObject({ reason: 'GPUUnhealthy' });
    expect((await read(w.store, 'on-b'))?.status?.phase).toBe('Bound');
    expect((await w.store.get('GPUNode', { name: 'gpu-1' }))?.status?.conditions).toContainEqual(
      expect.objectContaining({ type: 'Healthy', status: 'False', message: 'GPU-a: XID79' }),
    );
  });
});

describe('a write whose outcome is unknown', () => {
  /** Loses the answer to the first status write of a claim; the write itself lands at once, 40 ms later or never. */
  function losing({ store, clock }: World, lands: 'at once' | 'late' | 'never'): Store<Kinds> {
    let lost = false;
    const patch: Store<Kinds>['patch'] = async (kind, at, change, options) => {
      const write = () => store.patch(kind, at, change, options);
      if (lost || kind !== 'VGPUClaim' || options?.subresource !== 'status') return write();
      lost = true;
      if (lands === 'at once') await write();
      if (lands === 'late') clock.after(40, () => void write().catch(() => undefined));
      throw new StoreError('Unknown', 'the connection was lost');
    };
    return { ...store, patch };
  }

  test.each(['at once', 'late', 'never'] as const)('and which lands %s: no memory is promised twice', async (lands) => {
    const w = world();
    await addPool(w.store);
    await addNode(w, [gpu('GPU-a', 0)]);
    w.start({ store: losing(w, lands) });
    await w.clock.advance(100);
    for (const name of ['one', 'two', 'three']) await addClaim(w.store, name);
    for (let i = 0; i < 40; i++) {
      await w.clock.advance(10);
      expect((await promisedByGpu(w.store)).get('GPU-a') ?? 0).toBeLessThanOrEqual(8);
    }
    const { items } = await w.store.list('VGPUClaim');
    expect(items.filter(({ status }) => status?.phase === 'Bound')).toHaveLength(2);
    expect(items.filter(({ status }) => status?.phase === 'Pending')).toHaveLength(1);
    const events = await Promise.all(items.map(({ metadata }) => reasons(w.store, metadata.name)));
    expect(events.flat()).not.toContain('Conflict');
  });
});

describe('two claims that were promised the same memory', () => {
  test('the later goes back to Pending with reason Conflict, gets no ticket, and is bound elsewhere', async () => {
    const w = world();
    await addPool(w.store);
    await addNode(w);
    for (const [name, at] of [
      ['early', '2026-01-01T00:00:00Z'],
      ['late', '2026-01-01T00:00:01Z'],
    ] as const) {
      await addClaim(w.store, name, { resources: { memory: '6Gi', compute: 25 } });
      await w.store.patch('VGPUClaim', key(name), { metadata: { finalizers: [RELEASE_FINALIZER] } });
      const condition = { type: 'Bound', status: 'True', reason: 'Bound', message: 'x', lastTransitionTime: at };
      const allocations = [{ vgpu: 0, node: 'gpu-1', gpu: 'GPU-a', memory: '6Gi', compute: 25 }];
      await w.store.patch(
        'VGPUClaim',
        key(name),
        { status: { phase: 'Bound', allocations, conditions: [condition] } },
        { subresource: 'status' },
      );
    }
    const operator = w.start();
    expect(operator.claimForTicket(key('late'))).toMatchObject({ ok: false, error: { reason: 'OperatorStarting' } });
    await operator.ready;
    expect(operator.claimForTicket(key('early')).ok).toBe(true);
    expect(operator.claimForTicket(key('late'))).toMatchObject({ ok: false, error: { reason: 'ClaimNotBound' } });

    await w.clock.advance(1000);
    expect((await read(w.store, 'early'))?.status?.allocations?.[0]?.gpu).toBe('GPU-a');
    expect((await read(w.store, 'late'))?.status?.allocations?.[0]?.gpu).toBe('GPU-b');
    expect(await reasons(w.store, 'late')).toEqual(['Conflict', 'Bound']);
  });
});

test('sums of a pool that an earlier leader wrote too late are put right', async () => {
  const w = world();
  await addPool(w.store);
  await addNode(w);
  w.start();
  await addClaim(w.store, 'one');
  await w.clock.advance(1000);
  const promised = async () => (await w.store.get('GPUPool', { name: 'default' }))?.status?.promised;
  const right = { memory: '4Gi', compute: 25 };
  expect(await promised()).toEqual(right);
  await w.store.patch(
    'GPUPool',
    { name: 'default' },
    { status: { promised: { memory: '0' } } },
    { subresource: 'status' },
  );
  await w.clock.advance(1000);
  expect(await promised()).toEqual(right);
});

test('two hundred claims at once are bound or refused, and no GPU is promised beyond its memory', async () => {
  const w = world();
  await addPool(w.store, { oversubscription: { compute: 1000 } });
  await addNode(
    w,
    Array.from({ length: 8 }, (_, i) => gpu(`GPU-${i}`, i, { memory: '40Gi' })),
  );
  w.start();
  await w.clock.advance(100);
  await Promise.all(Array.from({ length: 200 }, (_, i) => addClaim(w.store, `claim-${i}`)));
  await w.clock.advance(2000);
  const { items } = await w.store.list('VGPUClaim');
  expect(items.filter(({ status }) => status?.phase === 'Bound')).toHaveLength(80);
  expect(items.filter(({ status }) => status?.phase === 'Pending')).toHaveLength(120);
  expect([...(await promisedByGpu(w.store)).values()]).toEqual(Array.from({ length: 8 }, () => 40));
});
