import { expect, test } from '@jest/globals';
import { boundTo, claim } from '../../../test/support/builders.ts';
import type { VGPUClaim } from '../../api/kinds.ts';
import { eventOf } from './events.ts';
import type { ClaimStatus } from './status.ts';

const statusOf = (phase: 'Pending' | 'Bound' | 'Lost', reason: string): ClaimStatus & VGPUClaim['status'] => ({
  ...boundTo(),
  phase,
  conditions: [
    {
      type: 'Bound',
      status: phase === 'Bound' ? 'True' : 'False',
      reason,
      message: 'in words',
      observedGeneration: 1,
      lastTransitionTime: '2026-01-01T00:00:00Z',
    },
  ],
});
const waits = statusOf('Pending', 'PoolNotFound');
const bound = statusOf('Bound', 'Bound');
const lost = statusOf('Lost', 'AgentLost');
const ofPod = {
  metadata: { ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name: 'pod', uid: 'uid-pod', controller: true }] },
};

test('a claim tells that it waits and that it is bound', () => {
  expect(eventOf(claim(), waits)).toMatchObject({ type: 'Warning', reason: 'PoolNotFound' });
  expect(eventOf(claim('trainer', { status: waits }), bound)).toMatchObject({ type: 'Normal', reason: 'Bound' });
});

test('a claim that was made for a pod leaves that to the pod, and tells what becomes of it afterwards', () => {
  expect(eventOf(claim('own', ofPod), waits)).toBeUndefined();
  expect(eventOf(claim('own', { ...ofPod, status: waits }), bound)).toBeUndefined();
  expect(eventOf(claim('own', { ...ofPod, status: bound }), lost)).toMatchObject({ reason: 'AgentLost' });
  expect(eventOf(claim('own', { ...ofPod, status: lost }), bound)).toMatchObject({ reason: 'Recovered' });
});
