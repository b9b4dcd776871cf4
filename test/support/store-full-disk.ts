import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openEmbeddedStore } from '../../src/embedded/store.ts';
import { StoreError } from '../../src/runtime/store.ts';

/**
 * Fills the disk that it is given through a store, beside a ballast file, then throws the ballast out and goes on. Its
 * one line of output says how that went.
 */
const [disk = '', ballastBytes = '0'] = process.argv.slice(2);
const clock = { now: () => new Date() };
const ballast = join(disk, 'ballast');
writeFileSync(ballast, Buffer.alloc(Number(ballastBytes)));

const directory = join(disk, 'store');
const store = openEmbeddedStore({ directory, clock });
const draft = (name: string) => ({
  metadata: { name, namespace: 'full', annotations: { 'example.com/note': 'x'.repeat(4000) } },
  spec: { poolName: 'default', resources: { memory: '1Gi', compute: 1 } },
});

const acknowledged: string[] = [];
let refused: unknown;
for (let i = 0; refused === undefined && i < 100_000; i++) {
  const batch = [`a${i}`, `b${i}`, `c${i}`];
  const outcomes = await Promise.allSettled(batch.map((name) => store.create('VGPUClaim', draft(name))));
  outcomes.forEach((outcome, at) => {
    if (outcome.status === 'fulfilled') acknowledged.push(batch[at] ?? '');
    else refused = outcome.reason;
  });
}

const names = async (from: typeof store) =>
  (await from.list('VGPUClaim')).items.map(({ metadata }) => metadata.name).toSorted();
const whileFull = await names(store);
const deleteWhileFull = await store.delete('VGPUClaim', { namespace: 'full', name: 'a0' }).then(
  () => 'deleted',
  (error: unknown) => (error instanceof StoreError ? error.code : 'failed'),
);
store[Symbol.dispose]();

const afterwards = openEmbeddedStore({ directory, clock });
const reopened = await names(afterwards);
rmSync(ballast);
await afterwards.create('VGPUClaim', draft('later'));
const atLast = await names(afterwards);
afterwards[Symbol.dispose]();

const gone = (name: string) => deleteWhileFull === 'deleted' && name === 'a0';
const expected = acknowledged.toSorted();
process.stdout.write(
  JSON.stringify({
    code: refused instanceof StoreError ? refused.code : String(refused),
    message: refused instanceof Error ? refused.message : '',
    stored: acknowledged.length,
    deleteWhileFull,
    whileFull: whileFull.join() === expected.join(),
    reopened: reopened.join() === expected.filter((name) => !gone(name)).join(),
    atLast:
      atLast.join() ===
      [...expected, 'later']
        .filter((name) => !gone(name))
        .toSorted()
        .join(),
  }),
);
