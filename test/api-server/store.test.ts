import { afterAll, beforeAll, jest } from '@jest/globals';
import { kindResources } from '../../src/kube/resource.ts';
import { kubeStore } from '../../src/kube/store.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';
import { startKube, waitUntilServed, type KubeFixture } from '../support/kube-fixture.ts';
import { describeStore } from '../support/store-conformance.ts';

const NAMESPACES = ['team-a', 'team-b'] as const;

let kube: KubeFixture;

beforeAll(async () => {
  kube = await startKube(NAMESPACES);
}, 180_000);

afterAll(async () => {
  await kube[Symbol.asyncDispose]();
});

/** What an API server has seen before it started it does not tell to a watch. */
async function expireHistory(): Promise<void> {
  await kube.api.restart();
  await waitUntilServed(kube.connection);
}

jest.setTimeout(60_000);

describeStore('the Kubernetes store', () =>
  Promise.resolve({
    store: kubeStore({
      connection: kube.connection,
      clock: systemClock,
      manager: 'conformance',
      resources: kindResources,
    }),
    namespaces: NAMESPACES,
    expireHistory,
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }),
);
