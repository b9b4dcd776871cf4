import { describe, expect, test } from '@jest/globals';
import type { Kinds } from '../../../src/api/kinds.ts';
import { StoreError, type Store } from '../../../src/runtime/store.ts';
import { claimDraft, keyOf, uniqueName, type MakeStore } from './fixture.ts';

export function describeConcurrency(makeStore: MakeStore): void {
  const WRITERS = 20;
  const many = <T>(make: (index: number) => Promise<T>) =>
    Promise.allSettled(Array.from({ length: WRITERS }, (_, i) => make(i)));
  const codes = (outcomes: readonly PromiseSettledResult<unknown>[]) =>
    outcomes.map((o) => (o.status === 'fulfilled' ? 'ok' : (o.reason as StoreError).code)).toSorted();

  describe('concurrent writers', () => {
    test('of one version: one wins, all others get Conflict', async () => {
      await using t = await makeStore();
      const old = await t.store.create('VGPUClaim', claimDraft(t.namespaces[0]));
      const { resourceVersion } = old.metadata;
      const outcomes = await many((i) =>
        t.store.patch('VGPUClaim', keyOf(old), { metadata: { labels: { winner: `w${i}` } } }, { resourceVersion }),
      );
      expect(codes(outcomes)).toEqual([...Array<string>(WRITERS - 1).fill('Conflict'), 'ok']);
    });

    test('of one name: one creates it, all others get AlreadyExists', async () => {
      await using t = await makeStore();
      const draft = claimDraft(t.namespaces[0]);
      const outcomes = await many(() => t.store.create('VGPUClaim', draft));
      expect(codes(outcomes)).toEqual([...Array<string>(WRITERS - 1).fill('AlreadyExists'), 'ok']);
    });

    test('of different fields: nothing is lost', async () => {
      await using t = await makeStore();
      const old = await t.store.create('VGPUClaim', claimDraft(t.namespaces[0]));
      await many((i) => t.store.patch('VGPUClaim', keyOf(old), { metadata: { labels: { [`l${i}`]: 'x' } } }));
      const claim = await t.store.get('VGPUClaim', keyOf(old));
      expect(Object.keys(claim?.metadata.labels ?? {})).toHaveLength(WRITERS);
    });

    test('that read, add and write conditionally count right', async () => {
      await using t = await makeStore();
      const old = await t.store.create(
        'VGPUClaim',
        claimDraft(t.namespaces[0], { metadata: { name: uniqueName(), labels: { n: '0' } } }),
      );
      await many(() => increment(t.store, keyOf(old)));
      const claim = await t.store.get('VGPUClaim', keyOf(old));
      expect(claim?.metadata.labels).toEqual({ n: String(WRITERS) });
    });
  });
}

async function increment(store: Store<Kinds>, key: { namespace?: string; name: string }): Promise<void> {
  for (;;) {
    const claim = await store.get('VGPUClaim', key);
    const n = Number(claim?.metadata.labels?.['n']) + 1;
    const resourceVersion = claim?.metadata.resourceVersion;
    try {
      await store.patch('VGPUClaim', key, { metadata: { labels: { n: String(n) } } }, { resourceVersion });
      return;
    } catch (error) {
      if (!(error instanceof StoreError) || error.code !== 'Conflict') throw error;
    }
  }
}
