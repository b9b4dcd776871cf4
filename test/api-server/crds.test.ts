import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { clusterKinds } from '../../src/api/cluster-kinds.ts';
import { clusterResources, collectionPath, objectPath, query } from '../../src/kube/resource.ts';
import { isStoreError, keyOf, type ApiObject } from '../../src/runtime/store.ts';
import { jsonEqual } from '../../src/lib/json-equal.ts';
import { acceptedExamples, refusedExamples, type Example } from '../support/kind-examples.ts';
import { startKube, type KubeFixture } from '../support/kube-fixture.ts';
import { schemaViolations } from '../support/schema-violations.ts';

const STRICT = query({ fieldValidation: 'Strict' });

let kube: KubeFixture;

jest.setTimeout(60_000);

beforeAll(async () => {
  kube = await startKube(['team-a']);
}, 180_000);

afterAll(async () => {
  await kube[Symbol.asyncDispose]();
});

type Written = Example['object'] & ApiObject & { readonly spec?: unknown; readonly status?: unknown };

/** Does what makes the object of an example: creates it, or the one it replaces first, and writes status by itself. */
async function apply({ kind, object, old }: Omit<Example, 'name'>): Promise<void> {
  const { connection } = kube;
  const resource = clusterResources[kind];
  const [next, before] = [object as Written, old as Written | undefined];
  const path = objectPath(resource, keyOf(next));
  const writeStatus = (status: unknown) =>
    connection.call({
      method: 'PATCH',
      path: `${path}/status${STRICT}`,
      body: { status: status ?? null },
      contentType: 'application/merge-patch+json',
    });
  try {
    const body = before ?? next;
    await connection.call({
      method: 'POST',
      path: `${collectionPath(resource, next.metadata.namespace)}${STRICT}`,
      body,
    });
    if (body.status !== undefined) await writeStatus(body.status);
    if (before === undefined) return;
    const { metadata } = (await connection.call({ method: 'GET', path })) as ApiObject;
    const { resourceVersion } = metadata;
    const replacement = { ...next, metadata: { ...next.metadata, resourceVersion } };
    if (!jsonEqual(before.spec, next.spec)) {
      await connection.call({ method: 'PUT', path: `${path}${STRICT}`, body: replacement });
    }
    if (!jsonEqual(before.status, next.status)) await writeStatus(next.status);
  } finally {
    await connection.call({ method: 'DELETE', path }).catch((error: unknown) => {
      if (!isStoreError(error, 'NotFound')) throw error;
    });
  }
}

const outcome = (example: Omit<Example, 'name'>): Promise<unknown> =>
  apply(example).then(
    () => 'accepted',
    (error: unknown) => (isStoreError(error, 'Invalid') ? error.details : error),
  );

describe('accepted by a real API server', () => {
  test.each(acceptedExamples)('$name', async (example) => {
    expect(await outcome(example)).toBe('accepted');
  });
});

describe('refused by a real API server in the same words', () => {
  test.each(refusedExamples)('$name', async (example) => {
    expect(await outcome(example)).toEqual([{ field: example.field, message: example.message }]);
  });
});

describe('refused by a real API server at the same field', () => {
  test.each(schemaViolations())('$name', async (violation) => {
    const problems = (await outcome(violation)) as readonly { readonly field: string }[];
    expect(problems).toContainEqual(expect.objectContaining({ field: violation.field }));
  });
});

test('every kind is served, with its short names', async () => {
  const { resources } = (await kube.connection.call({ method: 'GET', path: '/apis/aquifer.dev/v1alpha1' })) as {
    resources: { name: string; kind: string; shortNames?: string[] }[];
  };
  for (const { kind, plural, shortNames } of Object.values(clusterKinds)) {
    expect(resources).toContainEqual(expect.objectContaining({ name: plural, kind, shortNames: [...shortNames] }));
  }
});
