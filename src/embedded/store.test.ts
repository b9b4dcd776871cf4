import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { poolDraft } from '../../test/support/conformance/fixture.ts';
import { describeStore } from '../../test/support/store-conformance.ts';
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
