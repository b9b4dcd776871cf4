import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { publishConfigMap } from '../../src/kube/config-map.ts';
import { secretTexts } from '../../src/kube/secrets.ts';
import { tokenReviews } from '../../src/kube/token-reviews.ts';
import { AGENT_ACCOUNT, agentToken, createServiceAccount } from '../support/agent-token.ts';
import { uniqueName } from '../support/conformance/fixture.ts';
import { startKube, type KubeFixture } from '../support/kube-fixture.ts';

const NAMESPACE = 'aquifer-system';

let kube: KubeFixture;

jest.setTimeout(60_000);

beforeAll(async () => {
  kube = await startKube([NAMESPACE]);
  await createServiceAccount(kube.connection, NAMESPACE, 'aquifer-node');
}, 180_000);

afterAll(async () => {
  await kube[Symbol.asyncDispose]();
});

describe('tokens', () => {
  const tokenFor = (audience: string, node?: string) => agentToken(kube.connection, audience, node);
  const review = (token: string) => tokenReviews(kube.connection, 'aquifer').review(token);

  test('of an agent’s pod name its ServiceAccount and its node', async () => {
    expect(await review(await tokenFor('aquifer', 'gpu-1'))).toEqual({
      serviceAccount: AGENT_ACCOUNT,
      node: 'gpu-1',
    });
  });

  test('that are bound to no pod name no node', async () => {
    expect(await review(await tokenFor('aquifer'))).toMatchObject({ node: undefined });
  });

  test('for another audience, of nobody, or that are no tokens are good for nothing', async () => {
    expect(await review(await tokenFor('vault', 'gpu-1'))).toBeUndefined();
    expect(await review('rubbish')).toBeUndefined();
    const token = await tokenFor('aquifer', 'gpu-1');
    expect(await review(`${token.slice(0, -4)}AAAA`)).toBeUndefined();
  });
});

describe('secrets', () => {
  test('are made once, also by replicas that start together, and are kept', async () => {
    const where = { namespace: NAMESPACE, prefix: uniqueName('s') };
    const replicas = Array.from({ length: 5 }, () => secretTexts(kube.connection, where));
    const texts = await Promise.all(replicas.map((replica, i) => replica.keep('ca.pem', async () => `made by ${i}`)));
    expect(new Set(texts).size).toBe(1);
    const again = await secretTexts(kube.connection, where).keep('ca.pem', () =>
      Promise.reject(new Error('made anew')),
    );
    expect(again).toBe(texts[0]);
  });
});

test('a ConfigMap says what was published last', async () => {
  const key = { namespace: NAMESPACE, name: uniqueName('ca') };
  await publishConfigMap(kube.connection, key, { 'ca.crt': 'one' });
  await publishConfigMap(kube.connection, key, { 'ca.crt': 'two' });
  const path = `/api/v1/namespaces/${NAMESPACE}/configmaps/${key.name}`;
  expect(await kube.connection.call({ method: 'GET', path })).toMatchObject({ data: { 'ca.crt': 'two' } });
});
