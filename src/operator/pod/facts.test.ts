import { expect, test } from '@jest/globals';
import { pod } from '../../../test/support/builders.ts';
import type { Pod } from '../../api/pod.ts';
import { podFacts } from './facts.ts';
import { ownClaimName } from './own-claim.ts';

function running(annotations: Readonly<Record<string, string>>): Pod {
  const base = pod('p', annotations, { gated: false, phase: 'Running' });
  const initContainers = [{ name: 'plain' }, { name: 'side', restartPolicy: 'Always' }];
  return { ...base, spec: { nodeName: 'cpu-1', containers: [{ name: 'a' }, { name: 'b' }], initContainers } };
}

test('each container and sidecar uses the claim that the pod names; one that ends before the pod runs does not', () => {
  const facts = podFacts(running({ 'aquifer.dev/claim': 'trainer' }));
  expect(facts).toMatchObject({ uid: 'uid-p', node: 'cpu-1' });
  expect([...facts.claims]).toEqual(['side', 'a', 'b'].map((name) => [name, 'trainer']));
});

test('only the containers that are listed use the claim, also the pod’s own', () => {
  const own = running({ 'aquifer.dev/memory': '1Gi', 'aquifer.dev/compute': '5', 'aquifer.dev/containers': 'b' });
  expect([...podFacts(own).claims]).toEqual([['b', ownClaimName(own)]]);
});

test('of a pod with slices the containers that have a limit of them use its claim', () => {
  const sliced = running({});
  const limits = { 'aquifer.dev/slice': '10' };
  const spec = { ...sliced.spec, containers: [{ name: 'a' }, { name: 'b', resources: { limits } }] };
  const facts = podFacts({ ...sliced, spec });
  expect([...facts.claims]).toEqual([['b', ownClaimName(sliced)]]);
});

test.each([
  ['nothing', {}],
  ['nonsense', { 'aquifer.dev/memory': 'much', 'aquifer.dev/compute': '5' }],
])('a pod that asks for %s uses no claim', (_what, annotations) => {
  expect(podFacts(running(annotations)).claims.size).toBe(0);
});
