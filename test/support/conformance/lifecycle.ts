import { describe, expect, test } from '@jest/globals';
import { claimDraft, keyOf, refusal, uniqueName, type MakeStore } from './fixture.ts';

const BOUND = {
  phase: 'Bound',
  allocations: [{ vgpu: 0, node: 'gpu-1', gpu: 'GPU-1', memory: '1Gi', compute: 10 }],
};

export function describeStatus(makeStore: MakeStore): void {
  describe('status', () => {
    test('is written by itself: neither write touches the part of the other', async () => {
      await using t = await makeStore();
      const old = await t.store.create('VGPUClaim', claimDraft(t.namespaces[0]));
      const withStatus = await t.store.patch(
        'VGPUClaim',
        keyOf(old),
        { metadata: { labels: { a: 'b' } }, spec: { vgpus: 7 }, status: { phase: 'Pending' } },
        { subresource: 'status' },
      );
      expect(withStatus.status).toEqual({ phase: 'Pending' });
      expect(withStatus.spec).toEqual(old.spec);
      expect(withStatus.metadata.labels).toBeUndefined();
      expect(withStatus.metadata.generation).toBe(1);

      const withSpec = await t.store.patch('VGPUClaim', keyOf(old), { spec: { vgpus: 2 }, status: { phase: 'Lost' } });
      expect(withSpec.status).toEqual({ phase: 'Pending' });
      expect(withSpec.spec.vgpus).toBe(2);
    });

    test('is checked, conditional, and not written when nothing changes', async () => {
      await using t = await makeStore();
      const old = await t.store.create('VGPUClaim', claimDraft(t.namespaces[0]));
      const key = keyOf(old);
      const write = (status: object, resourceVersion?: string) =>
        t.store.patch('VGPUClaim', key, { status: { ...status } }, { subresource: 'status', resourceVersion });
      const { details } = await refusal(write({ phase: 'Bounded' }), 'Invalid');
      expect(details.map(({ field }) => field)).toEqual(['status.phase']);
      const bound = await write(BOUND, old.metadata.resourceVersion);
      await refusal(write({ phase: 'Lost' }, old.metadata.resourceVersion), 'Conflict');
      expect(await write(BOUND)).toEqual(bound);
    });

    test('of a bound claim holds the claim to its spec', async () => {
      await using t = await makeStore();
      const old = await t.store.create('VGPUClaim', claimDraft(t.namespaces[0]));
      await t.store.patch('VGPUClaim', keyOf(old), { status: BOUND }, { subresource: 'status' });
      const { details } = await refusal(t.store.patch('VGPUClaim', keyOf(old), { spec: { vgpus: 2 } }), 'Invalid');
      expect(details).toContainEqual({
        field: 'spec',
        message: 'cannot be changed while the claim has its vGPUs: delete the claim and create another',
      });
      const labelled = await t.store.patch('VGPUClaim', keyOf(old), { metadata: { labels: { a: 'b' } } });
      expect(labelled.metadata.labels).toEqual({ a: 'b' });
    });
  });
}

export function describeDelete(makeStore: MakeStore): void {
  const finalizers = ['aquifer.dev/release', 'example.com/second'];

  describe('delete', () => {
    test('removes an object that has no finalizer', async () => {
      await using t = await makeStore();
      const claim = await t.store.create('VGPUClaim', claimDraft(t.namespaces[0]));
      expect(await t.store.delete('VGPUClaim', keyOf(claim))).toBeUndefined();
      expect(await t.store.get('VGPUClaim', keyOf(claim))).toBeUndefined();
      await refusal(t.store.delete('VGPUClaim', keyOf(claim)), 'NotFound');
    });

    test('marks an object that has finalizers; it goes when the last of them goes', async () => {
      await using t = await makeStore();
      const draft = claimDraft(t.namespaces[0], { metadata: { name: uniqueName(), finalizers } });
      const { metadata } = await t.store.create('VGPUClaim', draft);
      const key = keyOf({ metadata });
      const marked = await t.store.delete('VGPUClaim', key);
      expect(marked?.metadata.deletionTimestamp).toBeDefined();
      expect(marked?.metadata.finalizers).toEqual(finalizers);
      expect(await t.store.delete('VGPUClaim', key)).toEqual(marked);

      await t.store.patch('VGPUClaim', key, { metadata: { finalizers: [finalizers[1]] } });
      expect(await t.store.get('VGPUClaim', key)).toBeDefined();
      await t.store.patch('VGPUClaim', key, { metadata: { finalizers: null } });
      expect(await t.store.get('VGPUClaim', key)).toBeUndefined();
    });

    test('takes no new finalizer once the object is marked, and cannot be taken back', async () => {
      await using t = await makeStore();
      const draft = claimDraft(t.namespaces[0], { metadata: { name: uniqueName(), finalizers } });
      const { metadata } = await t.store.create('VGPUClaim', draft);
      const key = keyOf({ metadata });
      await t.store.delete('VGPUClaim', key);
      const more = { metadata: { finalizers: [...finalizers, 'example.com/third'] } };
      await refusal(t.store.patch('VGPUClaim', key, more), 'Invalid');
      const after = await t.store.patch('VGPUClaim', key, {
        metadata: { deletionTimestamp: null, labels: { a: 'b' } },
      });
      expect(after.metadata.deletionTimestamp).toBeDefined();
    });

    test('keeps to the uid and the version that it is given', async () => {
      await using t = await makeStore();
      const draft = claimDraft(t.namespaces[0]);
      const first = await t.store.create('VGPUClaim', draft);
      await t.store.delete('VGPUClaim', keyOf(first), { uid: first.metadata.uid });
      const second = await t.store.create('VGPUClaim', draft);
      expect(second.metadata.uid).not.toBe(first.metadata.uid);
      await refusal(t.store.delete('VGPUClaim', keyOf(second), { uid: first.metadata.uid }), 'Conflict');
      const { resourceVersion } = second.metadata;
      await t.store.patch('VGPUClaim', keyOf(second), { spec: { vgpus: 2 } });
      await refusal(t.store.delete('VGPUClaim', keyOf(second), { resourceVersion }), 'Conflict');
      expect(await t.store.get('VGPUClaim', keyOf(second))).toBeDefined();
    });
  });
}
