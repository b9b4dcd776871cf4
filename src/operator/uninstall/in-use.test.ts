import { expect, test } from '@jest/globals';
import { boundTo, claim } from '../../../test/support/builders.ts';
import { inUse } from './in-use.ts';

const release = { name: 'aquifer', namespace: 'aquifer-system', revision: '3' };
const waiting = claim('waiting', { metadata: { finalizers: ['example.com/mine'] } });

test('claims that wait are no reason to stay', () => {
  expect(inUse([], release)).toBeUndefined();
  expect(inUse([waiting], release)).toBeUndefined();
});

test('a claim with a vGPU is named with what it has and where, and with its pod', () => {
  const ownerReferences = [{ apiVersion: 'v1', kind: 'Pod', name: 'trainer-0', uid: 'x' }];
  const said = inUse([waiting, claim('trainer', { metadata: { ownerReferences }, status: boundTo() })], release);
  expect(said).toContain(
    '1 of 2 claims are in use:\n  team-a/trainer: 1 x 4Gi and 25 % on gpu-1, of the pod trainer-0\n',
  );
  expect(said).toContain('helm uninstall aquifer --namespace aquifer-system --no-hooks');
  expect(said).toContain('helm rollback aquifer 3 --namespace aquifer-system');
});

test('a claim that is being bound counts', () => {
  expect(inUse([claim()], release)).toContain('team-a/trainer: 1 x 4Gi and 25 % on its way\n');
});

test('of many claims it names some, and says how many more there are', () => {
  const said =
    inUse(
      Array.from({ length: 25 }, (_, i) => claim(`c-${i}`)),
      release,
    ) ?? '';
  expect(said.split('\n').filter((line) => line.includes('team-a/'))).toHaveLength(20);
  expect(said).toContain('25 of 25 claims are in use');
  expect(said).toContain('and 5 more');
});
