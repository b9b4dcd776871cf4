import { describe, expect, test } from '@jest/globals';
import type { Draft } from '../../../src/runtime/store.ts';
import { claimDraft, keyOf, poolDraft, refusal, uniqueName, type MakeStore } from './fixture.ts';

export function describeCreate(makeStore: MakeStore): void {
  describe('create', () => {
    test('stores the object with its defaults and the metadata of the store', async () => {
      await using t = await makeStore();
      const draft = claimDraft(t.namespaces[0], { metadata: { name: uniqueName(), labels: { team: 'a' } } });
      const claim = await t.store.create('VGPUClaim', draft);
      expect(claim).toMatchObject({
        apiVersion: 'aquifer.dev/v1alpha1',
        kind: 'VGPUClaim',
        metadata: { name: draft.metadata.name, namespace: t.namespaces[0], labels: { team: 'a' }, generation: 1 },
        spec: { ...draft.spec, vgpus: 1, mode: 'Reserved', vgpuPlacement: 'Distinct' },
      });
      expect(claim.metadata.uid).toMatch(/^[0-9a-f-]{36}$/);
      expect(claim.metadata.resourceVersion).not.toBe('');
      expect(Math.abs(Date.parse(claim.metadata.creationTimestamp) - Date.now())).toBeLessThan(60_000);
      expect(claim.metadata.deletionTimestamp).toBeUndefined();
    });

    test('drops a status and keeps nobody from the version and uid of its own making', async () => {
      await using t = await makeStore();
      const draft = { ...claimDraft(t.namespaces[0]), status: { phase: 'Bound' } } as Draft;
      const claim = await t.store.create('VGPUClaim', draft);
      expect(claim.status).toBeUndefined();
    });

    test('says AlreadyExists of a name that is taken, and leaves the object that has it alone', async () => {
      await using t = await makeStore();
      const draft = claimDraft(t.namespaces[0]);
      const first = await t.store.create('VGPUClaim', draft);
      await refusal(t.store.create('VGPUClaim', { ...draft, spec: { ...draft.spec, vgpus: 2 } }), 'AlreadyExists');
      expect(await t.store.get('VGPUClaim', keyOf(draft))).toEqual(first);
    });

    test('lets the same name live in two namespaces', async () => {
      await using t = await makeStore();
      const draft = claimDraft(t.namespaces[0]);
      const first = await t.store.create('VGPUClaim', draft);
      const second = await t.store.create('VGPUClaim', {
        ...draft,
        metadata: { ...draft.metadata, namespace: t.namespaces[1] },
      });
      expect(second.metadata.uid).not.toBe(first.metadata.uid);
      expect(await t.store.get('VGPUClaim', keyOf(first))).toEqual(first);
    });

    test('says Invalid with the path of each field that is wrong, and stores nothing', async () => {
      await using t = await makeStore();
      const draft = claimDraft(t.namespaces[0], { spec: { vgpus: 0, mode: 'OnDemand' } });
      const { details } = await refusal(t.store.create('VGPUClaim', draft), 'Invalid');
      expect(details.map(({ field }) => field).toSorted()).toEqual(['spec.mode', 'spec.vgpus']);
      expect(await t.store.get('VGPUClaim', keyOf(draft))).toBeUndefined();
    });

    test('refuses a field that it does not know', async () => {
      await using t = await makeStore();
      const draft = claimDraft(t.namespaces[0], { spec: { memry: '8Gi' } });
      const error = await refusal(t.store.create('VGPUClaim', draft), 'Invalid');
      expect(error.details.map(({ field }) => field)).toEqual(['spec.memry']);
    });
  });
}

export function describeRead(makeStore: MakeStore): void {
  describe('get and list', () => {
    test('get gives the object as it was stored, or undefined', async () => {
      await using t = await makeStore();
      const pool = await t.store.create('GPUPool', poolDraft());
      expect(await t.store.get('GPUPool', keyOf(pool))).toEqual(pool);
      expect(await t.store.get('GPUPool', { name: uniqueName() })).toBeUndefined();
      expect(await t.store.get('VGPUClaim', { namespace: t.namespaces[0], name: uniqueName() })).toBeUndefined();
    });

    test('list gives the objects of one kind, of one namespace where one is asked for', async () => {
      await using t = await makeStore();
      const [a, b] = t.namespaces;
      const inA = await t.store.create('VGPUClaim', claimDraft(a));
      const inB = await t.store.create('VGPUClaim', claimDraft(b));
      const pool = await t.store.create('GPUPool', poolDraft());
      const everywhere = await t.store.list('VGPUClaim');
      expect(everywhere.items).toEqual(expect.arrayContaining([inA, inB]));
      const onlyA = await t.store.list('VGPUClaim', { namespace: a });
      expect(onlyA.items).toContainEqual(inA);
      expect(onlyA.items).not.toContainEqual(inB);
      expect((await t.store.list('GPUPool')).items).toContainEqual(pool);
    });

    test('list selects by labels, all of them', async () => {
      await using t = await makeStore();
      const team = uniqueName();
      const labelled = (labels: object) =>
        t.store.create('VGPUClaim', claimDraft(t.namespaces[0], { metadata: { name: uniqueName(), labels } }));
      const both = await labelled({ team, tier: 'gold' });
      const one = await labelled({ team, tier: 'tin' });
      await labelled({ tier: 'gold' });
      const byTeam = await t.store.list('VGPUClaim', { labelSelector: { team } });
      expect(byTeam.items.map((c) => c.metadata.uid).toSorted()).toEqual(
        [both.metadata.uid, one.metadata.uid].toSorted(),
      );
      expect((await t.store.list('VGPUClaim', { labelSelector: { team, tier: 'gold' } })).items).toEqual([both]);
    });
  });
}

export function describePatch(makeStore: MakeStore): void {
  describe('patch', () => {
    test('merges objects, removes what is null and replaces the rest, lists too', async () => {
      await using t = await makeStore();
      const draft = claimDraft(t.namespaces[0], {
        metadata: { name: uniqueName(), labels: { keep: 'a', drop: 'b' } },
        spec: { gpuSelector: { model: ['A', 'B'], minMemory: '2Gi' } },
      });
      const old = await t.store.create('VGPUClaim', draft);
      const claim = await t.store.patch('VGPUClaim', keyOf(old), {
        metadata: { labels: { drop: null, add: 'c' } },
        spec: { resources: { compute: 20 }, gpuSelector: { model: ['C'], minMemory: null } },
      });
      expect(claim.metadata.labels).toEqual({ keep: 'a', add: 'c' });
      expect(claim.spec.resources).toEqual({ memory: '1Gi', compute: 20 });
      expect(claim.spec.gpuSelector).toEqual({ model: ['C'] });
      expect(claim.metadata.uid).toBe(old.metadata.uid);
      expect(claim.metadata.resourceVersion).not.toBe(old.metadata.resourceVersion);
      expect(await t.store.get('VGPUClaim', keyOf(old))).toEqual(claim);
    });

    test('counts the generation up when the spec changes, and only then', async () => {
      await using t = await makeStore();
      const { metadata } = await t.store.create('VGPUClaim', claimDraft(t.namespaces[0]));
      const key = keyOf({ metadata });
      const labelled = await t.store.patch('VGPUClaim', key, { metadata: { labels: { a: 'b' } } });
      expect(labelled.metadata.generation).toBe(1);
      const changed = await t.store.patch('VGPUClaim', key, { spec: { vgpus: 2 } });
      expect(changed.metadata.generation).toBe(2);
    });

    test('writes nothing when nothing changes', async () => {
      await using t = await makeStore();
      const old = await t.store.create('VGPUClaim', claimDraft(t.namespaces[0]));
      const same = await t.store.patch('VGPUClaim', keyOf(old), { spec: { poolName: 'default' } });
      expect(same).toEqual(old);
    });

    test('gives a field that is removed its default again', async () => {
      await using t = await makeStore();
      const old = await t.store.create('VGPUClaim', claimDraft(t.namespaces[0], { spec: { vgpus: 3 } }));
      const claim = await t.store.patch('VGPUClaim', keyOf(old), { spec: { vgpus: null } });
      expect(claim.spec.vgpus).toBe(1);
    });

    test('says Conflict when the object has moved on from the version that was named', async () => {
      await using t = await makeStore();
      const first = await t.store.create('VGPUClaim', claimDraft(t.namespaces[0]));
      const stale = first.metadata.resourceVersion;
      const second = await t.store.patch('VGPUClaim', keyOf(first), { spec: { vgpus: 2 } }, { resourceVersion: stale });
      await refusal(
        t.store.patch('VGPUClaim', keyOf(first), { spec: { vgpus: 3 } }, { resourceVersion: stale }),
        'Conflict',
      );
      const inMetadata = { metadata: { resourceVersion: stale }, spec: { vgpus: 3 } };
      await refusal(t.store.patch('VGPUClaim', keyOf(first), inMetadata), 'Conflict');
      expect(await t.store.get('VGPUClaim', keyOf(first))).toEqual(second);
    });

    test('says NotFound of an object that is not there', async () => {
      await using t = await makeStore();
      await refusal(t.store.patch('GPUPool', { name: uniqueName() }, { spec: { placement: 'Spread' } }), 'NotFound');
    });

    test('says Invalid of what may not be stored, and changes nothing', async () => {
      await using t = await makeStore();
      const old = await t.store.create('VGPUClaim', claimDraft(t.namespaces[0]));
      const error = await refusal(
        t.store.patch('VGPUClaim', keyOf(old), { spec: { resources: { memory: 'much' } } }),
        'Invalid',
      );
      expect(error.details).toEqual([
        { field: 'spec.resources.memory', message: expect.stringMatching(/quantity of bytes/) },
      ]);
      expect(await t.store.get('VGPUClaim', keyOf(old))).toEqual(old);
    });
  });
}
