import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import type { Kinds } from '../../src/api/kinds.ts';
import { connect } from '../../src/kube/connection.ts';
import { leaseStore } from '../../src/kube/lease.ts';
import { loadKubeConfig } from '../../src/kube/load-config.ts';
import { kindResources } from '../../src/kube/resource.ts';
import { kubeStore } from '../../src/kube/store.ts';
import type { Clock } from '../../src/lib/clock.ts';
import { Informer } from '../../src/runtime/informer.ts';
import { campaign, type LeaseRecord } from '../../src/runtime/leadership.ts';
import { isStoreError, type Store } from '../../src/runtime/store.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';
import { recordingLog } from '../support/builders.ts';
import { poolDraft, refusal, uniqueName } from '../support/conformance/fixture.ts';
import { eventually } from '../support/eventually.ts';
import { startKube, waitUntilServed, type KubeFixture } from '../support/kube-fixture.ts';

const LONG_MS = 60_000;

let kube: KubeFixture;
let store: Store<Kinds>;

jest.setTimeout(180_000);

beforeAll(async () => {
  kube = await startKube(['team-a']);
  store = kubeStore({ connection: kube.connection, clock: systemClock, manager: 'test', resources: kindResources });
}, 180_000);

afterAll(async () => {
  await kube[Symbol.asyncDispose]();
});

/** Timers that run a hundred times too soon: a watch that is silent for two seconds is dead. */
const hastyClock: Clock = { ...systemClock, after: (ms, callback) => systemClock.after(ms / 100, callback) };

/** An informer of pools over a connection of its own. */
async function following(clock: Clock) {
  const connection = connect({ loadConfig: () => loadKubeConfig(kube.api.kubeconfig), clock });
  const informer = new Informer<Kinds, 'GPUPool'>({
    store: kubeStore({ connection, clock, manager: 'test', resources: kindResources }),
    kind: 'GPUPool',
    clock,
    log: recordingLog(),
  });
  const stop = new AbortController();
  const ended = informer.run(stop.signal);
  await informer.synced;
  const dispose = async (): Promise<void> => {
    stop.abort();
    await ended;
    connection[Symbol.dispose]();
  };
  return { informer, [Symbol.asyncDispose]: dispose };
}

/** Makes a pool, as soon as the API server takes one, and waits until the informer has it. */
async function expectToFollow(informer: Informer<Kinds, 'GPUPool'>): Promise<void> {
  const draft = poolDraft();
  const create = (): Promise<boolean> =>
    store.create('GPUPool', draft).then(
      () => true,
      (error: unknown) => isStoreError(error, 'AlreadyExists'),
    );
  await eventually(create, (made) => made, LONG_MS);
  await eventually(
    () => informer.get(draft.metadata.name),
    (pool) => pool !== undefined,
    LONG_MS,
  );
}

describe('an informer', () => {
  test('follows, and survives an API server that is killed', async () => {
    await using t = await following(systemClock);
    await expectToFollow(t.informer);
    await kube.api.kill();
    await eventually(
      () => t.informer.stats.following,
      (follows) => !follows,
      LONG_MS,
    );
    await kube.api.start();
    await waitUntilServed(kube.connection);
    await expectToFollow(t.informer);
  });

  test('survives an API server that keeps its connections and says nothing', async () => {
    await using t = await following(hastyClock);
    await expectToFollow(t.informer);
    kube.api.pause();
    const before = t.informer.stats.failures;
    await eventually(
      () => t.informer.stats.failures,
      (failures) => failures > before,
      LONG_MS,
    );
    kube.api.resume();
    await expectToFollow(t.informer);
  });
});

describe('the Lease', () => {
  const record: LeaseRecord = {
    holder: 'a',
    durationMs: 15_000,
    acquiredAt: '2026-01-31T12:00:00.123Z',
    renewedAt: '2026-01-31T12:00:01.456Z',
    transitions: 3,
    epoch: 1_769_860_800_123,
  };

  test('is read as it was written, under the version of each write', async () => {
    const lease = leaseStore(kube.connection, { namespace: 'team-a', name: uniqueName('lease') });
    expect(await lease.read()).toBeUndefined();
    const first = await lease.write(record, undefined);
    await refusal(lease.write(record, undefined), 'AlreadyExists');
    const read = await lease.read();
    expect(read?.version).toBe(first);
    expect(read?.record).toMatchObject({ holder: 'a', durationMs: 15_000, transitions: 3, epoch: record.epoch });
    expect(Date.parse(read?.record.renewedAt ?? '')).toBe(Date.parse(record.renewedAt));
    const second = await lease.write({ ...record, holder: undefined }, first);
    await refusal(lease.write(record, first), 'Conflict');
    expect(await lease.read()).toMatchObject({ version: second, record: { holder: undefined } });
  });

  test('has one leader at a time, whose epoch grows even when somebody deletes it', async () => {
    const name = uniqueName('lease');
    const lease = leaseStore(kube.connection, { namespace: 'team-a', name });
    const stop = new AbortController();
    const times = { durationMs: 2000, deadlineMs: 1300, retryMs: 200 };
    const stand = (identity: string) =>
      campaign({ lease, identity, clock: systemClock, log: recordingLog(), ...times }, stop.signal);
    const first = await stand('a');
    const path = `/apis/coordination.k8s.io/v1/namespaces/team-a/leases/${name}`;
    await kube.connection.call({ method: 'DELETE', path });
    await eventually(
      () => first?.lost.aborted,
      (lost) => lost === true,
    );
    const second = await stand('b');
    expect(second?.epoch).toBeGreaterThan(first?.epoch ?? Infinity);
    await second?.release();
    expect((await lease.read())?.record).toMatchObject({ holder: undefined, epoch: second?.epoch });
    stop.abort();
  });
});
