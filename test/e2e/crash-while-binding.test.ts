import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { VGPUClaim } from '../../src/api/kinds.ts';
import { apiClient, type ApiClient } from '../../src/cli/api-client.ts';
import { collectionPath, objectPath } from '../../src/cli/resource.ts';
import { eventually } from '../support/eventually.ts';
import { promisedBy } from '../support/objects.ts';
import { startServe, type Serve } from '../support/serve.ts';

const GPU_MIB = 4096;
const CLAIM_MIB = 512;
const FIT = GPU_MIB / CLAIM_MIB;
const CLAIMS = 20;

jest.setTimeout(240_000);

let serve: Serve;
let api: ApiClient;
let dataDir: string;

async function start(): Promise<void> {
  serve = await startServe({ dataDir, softwareGpus: `1x${GPU_MIB}Mi` });
  api = apiClient(join(dataDir, 'run', 'api.sock'), dataDir);
}

beforeAll(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'aq-binding-'));
  await start();
  const pool = { apiVersion: 'aquifer.dev/v1alpha1', kind: 'GPUPool', metadata: { name: 'default' }, spec: {} };
  await api.call({ method: 'POST', path: collectionPath('GPUPool'), body: pool });
});

afterAll(async () => {
  await serve.stop();
  rmSync(dataDir, { recursive: true });
});

const create = (name: string): Promise<unknown> =>
  api.call({
    method: 'POST',
    path: collectionPath('VGPUClaim', 'default'),
    body: {
      apiVersion: 'aquifer.dev/v1alpha1',
      kind: 'VGPUClaim',
      metadata: { name, namespace: 'default' },
      spec: { poolName: 'default', resources: { memory: `${CLAIM_MIB}Mi`, compute: 1 } },
    },
  });

const remove = (name: string): Promise<unknown> =>
  api.call({ method: 'DELETE', path: objectPath('VGPUClaim', name, 'default') });

async function claims(): Promise<readonly VGPUClaim[]> {
  const { body } = await api.call({ method: 'GET', path: collectionPath('VGPUClaim', 'default') });
  return (body as { readonly items: readonly VGPUClaim[] }).items;
}

const isBound = ({ status }: VGPUClaim): boolean => status?.phase === 'Bound';
const placeOf = ({ metadata, status }: VGPUClaim): string => `${metadata.name} ${JSON.stringify(status?.allocations)}`;

/**
 * Asks for all of it at once and kills serve `afterMs` after the `acknowledgements`-th answer. Gives the names that were
 * acknowledged; the others may or may not have been carried out.
 */
async function killedWhile(
  work: (name: string) => Promise<unknown>,
  names: readonly string[],
  { acknowledgements, afterMs }: Moment,
): Promise<readonly string[]> {
  const acknowledged: string[] = [];
  const reached = Promise.withResolvers<void>();
  const asked = names.map((name) =>
    work(name).then(
      () => {
        acknowledged.push(name);
        if (acknowledged.length === acknowledgements) reached.resolve();
      },
      () => undefined, // Killed before it could answer.
    ),
  );
  await Promise.race([reached.promise, Promise.all(asked)]);
  await sleep(afterMs);
  await serve.crash();
  await Promise.all(asked);
  return [...acknowledged];
}

interface Moment {
  readonly acknowledgements: number;
  readonly afterMs: number;
}

const MOMENTS: readonly Moment[] = [
  { acknowledgements: 1, afterMs: 0 },
  { acknowledgements: 1, afterMs: 3 },
  { acknowledgements: FIT, afterMs: 0 },
  { acknowledgements: FIT, afterMs: 10 },
  { acknowledgements: CLAIMS, afterMs: 0 },
  { acknowledgements: CLAIMS, afterMs: 5 },
  { acknowledgements: CLAIMS, afterMs: 30 },
  { acknowledgements: CLAIMS, afterMs: 100 },
];

/** As many are bound as fit, no more is promised than there is, and the pool's sum is that of the claims. */
async function settled(): Promise<readonly VGPUClaim[]> {
  const now = await eventually(claims, (items) => items.filter(isBound).length === Math.min(FIT, items.length), 30_000);
  const promised = now.filter(isBound).length * CLAIM_MIB;
  expect(promised).toBeLessThanOrEqual(GPU_MIB);
  await eventually(
    () => promisedBy(serve),
    ({ memory }) => mebibytes(memory) === promised,
  );
  return now;
}

const mebibytes = (quantity: string): number =>
  Number(quantity.replace(/[MG]i$/, '')) * (quantity.endsWith('Gi') ? 1024 : 1);

describe.each(MOMENTS)('serve killed $afterMs ms after answer $acknowledgements', (moment) => {
  const names = Array.from({ length: CLAIMS }, (_, i) => `c${i}`);

  test('to claims applied: none is lost, none is promised twice', async () => {
    const acknowledged = await killedWhile(create, names, moment);
    await start();
    const after = await settled();
    expect(after.map(({ metadata }) => metadata.name)).toEqual(expect.arrayContaining([...acknowledged]));
  });

  test('to claims deleted: what was bound stays where it was, and all is given back in the end', async () => {
    const before = await claims();
    const acknowledged = await killedWhile(
      remove,
      before.map(({ metadata }) => metadata.name),
      moment,
    );
    await start();
    const gone = (items: readonly VGPUClaim[]) => !items.some(({ metadata }) => acknowledged.includes(metadata.name));
    await eventually(claims, gone, 30_000);
    const kept = (await settled()).filter(isBound).map(placeOf);
    const names = kept.map((place) => place.split(' ')[0]);
    const sameAsBefore = before.filter((one) => isBound(one) && names.includes(one.metadata.name)).map(placeOf);
    expect(kept).toEqual(expect.arrayContaining(sameAsBefore));

    await Promise.all((await claims()).map(({ metadata }) => remove(metadata.name)));
    await eventually(claims, (items) => items.length === 0, 30_000);
    await eventually(
      () => promisedBy(serve),
      ({ memory, compute }) => memory === '0' && compute === 0,
    );
    expect(readdirSync(join(dataDir, 'run', 'workers'))).toEqual([]);
  });
});
