import { describe, expect, test } from '@jest/globals';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { poolDraft, refusal } from '../../test/support/conformance/fixture.ts';
import { describeStore } from '../../test/support/store-conformance.ts';
import type { Draft, MergePatch } from '../runtime/store.ts';
import { openEmbeddedStore } from './store.ts';

const HISTORY_SIZE = 64;

describeStore('the embedded store', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'aquifer-store-'));
  const store = openEmbeddedStore({ directory, clock: { now: () => new Date() }, historySize: HISTORY_SIZE });
  return {
    store,
    namespaces: ['team-a', 'team-b'],
    async expireHistory() {
      for (let i = 0; i <= HISTORY_SIZE * 2; i++) await store.create('GPUPool', poolDraft());
    },
    async [Symbol.asyncDispose]() {
      store[Symbol.dispose]();
      rmSync(directory, { recursive: true });
    },
  };
});

describe('what no type allows', () => {
  const open = () => {
    const directory = mkdtempSync(join(tmpdir(), 'aquifer-store-'));
    const store = openEmbeddedStore({ directory, clock: { now: () => new Date() } });
    return {
      store,
      [Symbol.dispose]() {
        store[Symbol.dispose]();
        rmSync(directory, { recursive: true });
      },
    };
  };

  test.each([
    [{ metadata: null }, 'metadata'],
    [{ metadata: 'x' }, 'metadata'],
    [{ metadata: { name: '../x' } }, 'metadata.name'],
    [{ metadata: { name: 'x' }, spec: [] }, 'spec'],
    [{ metadata: { name: 'x' }, kind: 'GPUNode' }, 'kind'],
    [{ metadata: { name: 'x' }, apiVersion: 'v1' }, 'apiVersion'],
    [{ metadata: { name: 'x' }, data: {} }, 'data'],
    [{ metadata: { name: 'x', labels: { 'a b': 'c' } } }, 'metadata.labels.a b'],
    [{ metadata: { name: 'x', annotations: { a: 'x'.repeat(300_000) } } }, 'metadata.annotations'],
  ])('a create of %j is Invalid at %s', async (draft, field) => {
    using t = open();
    const error = await refusal(t.store.create('GPUPool', draft as unknown as Draft), 'Invalid');
    expect(error.details.map((detail) => detail.field)).toEqual([field]);
  });

  test.each([
    [{ metadata: { name: 'other' } }, 'metadata.name'],
    [{ metadata: { namespace: 'other' } }, 'metadata.namespace'],
    [{ metadata: 'x' }, 'metadata.name'],
    [{ spec: 'x' }, 'spec'],
    [{ spec: { placement: ['Pack'] } }, 'spec.placement'],
  ])('a patch with %j is Invalid at %s', async (patch, field) => {
    using t = open();
    await t.store.create('GPUPool', { metadata: { name: 'x' } });
    const error = await refusal(t.store.patch('GPUPool', { name: 'x' }, patch as MergePatch), 'Invalid');
    expect(error.details.map((detail) => detail.field)).toEqual([field]);
  });

  test('metadata of the store in a create or a patch is passed over', async () => {
    using t = open();
    const owned = { resourceVersion: '77', generation: 9, creationTimestamp: 'then', managedFields: [] };
    const draft = { metadata: { name: 'x', uid: 'mine', ...owned } } as Draft;
    const pool = await t.store.create('GPUPool', draft);
    expect(pool.metadata).toMatchObject({ resourceVersion: '1', generation: 1 });
    expect(pool.metadata.uid).not.toBe('mine');
    const patch = { metadata: { generation: 9, creationTimestamp: 'then', labels: { a: 'b' } } };
    const patched = await t.store.patch('GPUPool', { name: 'x' }, patch);
    expect(patched.metadata).toEqual({ ...pool.metadata, resourceVersion: '2', labels: { a: 'b' } });
    await refusal(t.store.patch('GPUPool', { name: 'x' }, { metadata: { uid: 'another' } }), 'Conflict');
  });

  test('a key without the namespace of its kind, or with one too many, is Invalid', async () => {
    using t = open();
    await refusal(t.store.get('VGPUClaim', { name: 'x' }), 'Invalid');
    await refusal(t.store.delete('GPUPool', { namespace: 'a', name: 'x' }), 'Invalid');
  });

  test('what the store gives out cannot be changed in place', async () => {
    using t = open();
    const pool = await t.store.create('GPUPool', { metadata: { name: 'x' } });
    const read = await t.store.get('GPUPool', { name: 'x' });
    for (const object of [pool, read]) {
      expect(() => Object.assign(object?.spec ?? {}, { placement: 'Spread' })).toThrow(TypeError);
    }
  });
});
