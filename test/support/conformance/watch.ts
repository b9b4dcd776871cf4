import { describe, expect, test } from '@jest/globals';
import {
  claimDraft,
  keyOf,
  poolDraft,
  refusal,
  stopper,
  summary,
  take,
  uniqueName,
  type MakeStore,
} from './fixture.ts';

export function describeWatch(makeStore: MakeStore): void {
  describe('watch', () => {
    test('tells every later write of the kind and namespace, in order, once', async () => {
      await using t = await makeStore();
      const [namespace, other] = t.namespaces;
      await t.store.create('VGPUClaim', claimDraft(namespace));
      const { resourceVersion } = await t.store.list('VGPUClaim', { namespace });
      using stop = stopper();
      const events = t.store.watch('VGPUClaim', { resourceVersion, namespace, signal: stop.signal });
      const taken = take(events, 5);

      const draft = claimDraft(namespace, { metadata: { name: uniqueName(), finalizers: ['example.com/hold'] } });
      const { name } = draft.metadata;
      const created = await t.store.create('VGPUClaim', draft);
      await t.store.create('VGPUClaim', claimDraft(other));
      await t.store.create('GPUPool', poolDraft());
      const patched = await t.store.patch('VGPUClaim', { namespace, name }, { spec: { vgpus: 2 } });
      await t.store.patch('VGPUClaim', { namespace, name }, { spec: { vgpus: 2 } }); // changes nothing
      const status = { subresource: 'status' } as const;
      const reported = await t.store.patch('VGPUClaim', { namespace, name }, { status: { phase: 'Pending' } }, status);
      const marked = await t.store.delete('VGPUClaim', { namespace, name });
      await t.store.patch('VGPUClaim', { namespace, name }, { metadata: { finalizers: [] } });

      const got = await taken;
      expect(got.map(summary)).toEqual([
        `ADDED ${name}`,
        `MODIFIED ${name}`,
        `MODIFIED ${name}`,
        `MODIFIED ${name}`,
        `DELETED ${name}`,
      ]);
      expect(got.slice(0, 4).map((event) => event.object)).toEqual([created, patched, reported, marked]);
    });

    test('catches up from any version of an object that it is given', async () => {
      await using t = await makeStore();
      const { metadata } = await t.store.create('VGPUClaim', claimDraft(t.namespaces[0]));
      const key = keyOf({ metadata });
      const second = await t.store.patch('VGPUClaim', key, { spec: { vgpus: 2 } });
      const third = await t.store.patch('VGPUClaim', key, { spec: { vgpus: 3 } });
      await t.store.delete('VGPUClaim', key);
      const from = async (resourceVersion: string, count: number) => {
        using stop = stopper();
        const options = { resourceVersion, namespace: t.namespaces[0], signal: stop.signal };
        return (await take(t.store.watch('VGPUClaim', options), count)).map((event) => event.type);
      };
      expect(await from(metadata.resourceVersion, 3)).toEqual(['MODIFIED', 'MODIFIED', 'DELETED']);
      expect(await from(second.metadata.resourceVersion, 2)).toEqual(['MODIFIED', 'DELETED']);
      expect(await from(third.metadata.resourceVersion, 1)).toEqual(['DELETED']);
    });

    test('ends without an error when its signal says so', async () => {
      await using t = await makeStore();
      const { resourceVersion } = await t.store.list('GPUPool');
      const stop = new AbortController();
      const seen = take(t.store.watch('GPUPool', { resourceVersion, signal: stop.signal }), 1_000_000);
      setImmediate(() => stop.abort());
      expect(Array.isArray(await seen)).toBe(true);
      const late = t.store.watch('GPUPool', { resourceVersion, signal: AbortSignal.abort() });
      expect(await take(late, 1)).toEqual([]);
    });

    test('says Expired of a version that is no longer kept', async () => {
      await using t = await makeStore();
      const { metadata } = await t.store.create('VGPUClaim', claimDraft(t.namespaces[0]));
      await t.expireHistory();
      using stop = stopper();
      const options = { resourceVersion: metadata.resourceVersion, signal: stop.signal };
      await refusal(take(t.store.watch('VGPUClaim', options), 1), 'Expired');
      const { resourceVersion } = await t.store.list('VGPUClaim');
      const fresh = take(t.store.watch('VGPUClaim', { resourceVersion, signal: stop.signal }), 1);
      const draft = claimDraft(t.namespaces[0]);
      await t.store.create('VGPUClaim', draft);
      expect((await fresh).map(summary)).toEqual([`ADDED ${draft.metadata.name}`]);
    });
  });
}

export function describeEvents(makeStore: MakeStore): void {
  describe('events', () => {
    test('are kept with the object, oldest first; equal ones are counted', async () => {
      await using t = await makeStore();
      const { kind, metadata } = await t.store.create('VGPUClaim', claimDraft(t.namespaces[0]));
      const about = { kind, ...keyOf({ metadata }), uid: metadata.uid };
      const waiting = { type: 'Warning', reason: 'InsufficientMemory', message: 'needs 1Gi' } as const;
      await t.store.recordEvent(about, waiting);
      await t.store.recordEvent(about, waiting);
      await t.store.recordEvent(about, { type: 'Normal', reason: 'Bound', message: 'bound to GPU-1' });
      await t.store.recordEvent({ ...about, uid: 'another', name: uniqueName() }, waiting);

      const events = await t.store.listEvents(about);
      expect(events.map(({ type, reason, message, count }) => ({ type, reason, message, count }))).toEqual([
        { ...waiting, count: 2 },
        { type: 'Normal', reason: 'Bound', message: 'bound to GPU-1', count: 1 },
      ]);
      for (const { firstTimestamp, lastTimestamp } of events) {
        expect(Date.parse(firstTimestamp)).toBeLessThanOrEqual(Date.parse(lastTimestamp));
      }
    });

    test('of an earlier object of the same name are not those of this one', async () => {
      await using t = await makeStore();
      const { kind, metadata } = await t.store.create('VGPUClaim', claimDraft(t.namespaces[0]));
      const key = keyOf({ metadata });
      await t.store.recordEvent({ kind, ...key, uid: metadata.uid }, { type: 'Normal', reason: 'Bound', message: 'm' });
      expect(await t.store.listEvents({ kind, ...key, uid: 'another-uid' })).toEqual([]);
    });
  });
}
