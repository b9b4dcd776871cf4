import { writeSync } from 'node:fs';
import { openEmbeddedStore } from '../../src/embedded/store.ts';

/**
 * A process that writes to a store until it is killed. Each of its writers takes one claim through the same steps over
 * and over, step k after step k - 1 was acknowledged; what was acknowledged goes to stdout at once as `claim k`.
 */
const [directory = '', writers = '8'] = process.argv.slice(2);

/** The steps of a claim: it is created at the first, labelled with each, and deleted at the last of them. */
const STEPS = 5;

const store = openEmbeddedStore({ directory, clock: { now: () => new Date() } });

async function write(name: string): Promise<never> {
  const key = { namespace: 'crash', name };
  const existing = await store.get('VGPUClaim', key);
  // After a kill nobody knows where the claim stands: it begins anew.
  if (existing !== undefined) await store.delete('VGPUClaim', key);
  for (let k = 0; ; k++) {
    const labels = { k: String(k) };
    if (k % STEPS === 0) {
      const spec = { poolName: 'default', resources: { memory: '1Gi', compute: 1 } };
      await store.create('VGPUClaim', { metadata: { ...key, labels }, spec });
    } else if (k % STEPS === STEPS - 1) {
      await store.delete('VGPUClaim', key);
    } else {
      await store.patch('VGPUClaim', key, { metadata: { labels } });
    }
    writeSync(1, `${name} ${k}\n`);
  }
}

writeSync(1, 'ready\n');
if (Number(writers) === 0) setInterval(() => undefined, 60_000);
await Promise.all(Array.from({ length: Number(writers) }, (_, i) => write(`c${i}`)));
