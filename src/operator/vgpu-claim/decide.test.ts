import { describe, expect, test } from '@jest/globals';
import { boundTo, claim, gpu, node, pool } from '../../../test/support/builders.ts';
import type { GPUNode, VGPUClaim } from '../../api/kinds.ts';
import { snapshotOf, type Allocation } from '../../core/allocation/snapshot.ts';
import { nodeFacts, poolFacts } from '../facts.ts';
import type { Conflict, Hold } from '../hold.ts';
import { decide } from './decide.ts';

const GI = 1024 ** 3;
const onA: Allocation = { vgpu: 0, node: 'gpu-1', gpu: 'GPU-a', memoryBytes: 4 * GI, computePercent: 25 };
const hold = (more: Partial<Hold> = {}): Hold => ({
  claimUid: 'uid-trainer',
  pool: 'default',
  allocations: [onA],
  confirmed: true,
  boundAt: undefined,
  ...more,
});
const conflict: Conflict = { node: 'gpu-1', gpu: 'GPU-a', memoryBytes: 8, earlierBytes: 6, ownBytes: 4 };

interface Given {
  readonly claim: VGPUClaim;
  readonly nodes?: readonly GPUNode[];
  readonly hold?: Hold;
  readonly conflict?: Conflict;
}

const deleted = { deletionTimestamp: '2026-01-02T00:00:00Z' };
const lost = { ...boundTo(), phase: 'Lost' } as const;

const cases: [string, Given, object][] = [
  [
    'a new claim that fits is guarded first',
    { claim: claim('trainer', { metadata: { finalizers: [] } }) },
    { kind: 'Guard' },
  ],
  ['a guarded claim that fits is bound', { claim: claim() }, { kind: 'Bind', allocations: [onA] }],
  [
    'a claim that does not fit waits, and is not guarded for that',
    { claim: claim('trainer', { metadata: { finalizers: [] }, spec: { resources: { memory: '9Gi', compute: 1 } } }) },
    { kind: 'Wait', refusal: { reason: 'GPUTooSmall' } },
  ],
  [
    'a claim on a pool that is not there waits',
    { claim: claim('trainer', { spec: { poolName: 'x' } }) },
    { kind: 'Wait', refusal: { reason: 'PoolNotFound' } },
  ],
  ['a claim whose bind is on its way back to us rests', { claim: claim(), hold: hold() }, { kind: 'Rest' }],
  [
    'a claim whose bind is in doubt is bound to the same GPU again, even if that is full now',
    {
      claim: claim(),
      hold: hold({ confirmed: false, allocations: [{ ...onA, gpu: 'GPU-b' }] }),
      nodes: [node('gpu-1', { gpus: [] })],
    },
    { kind: 'Bind', allocations: [{ ...onA, gpu: 'GPU-b' }] },
  ],
  ['a bound claim is kept', { claim: claim('trainer', { status: boundTo() }), hold: hold() }, { kind: 'Keep' }],
  [
    'a lost claim whose GPU is back is kept',
    { claim: claim('trainer', { status: lost }), hold: hold() },
    { kind: 'Keep' },
  ],
  [
    'a bound claim whose finalizer somebody took off gets it back',
    { claim: claim('trainer', { metadata: { finalizers: [] }, status: boundTo() }), hold: hold() },
    { kind: 'Guard' },
  ],
  [
    'a bound claim on a node that is gone is lost',
    { claim: claim('trainer', { status: boundTo() }), nodes: [] },
    { kind: 'Lose', trouble: { reason: 'NodeGone', node: 'gpu-1' } },
  ],
  [
    'a bound claim on a node whose agent is lost is lost',
    { claim: claim('trainer', { status: boundTo() }), nodes: [node('gpu-1', {}, 'False')] },
    { kind: 'Lose', trouble: { reason: 'AgentLost' } },
  ],
  [
    'a bound claim whose GPU is gone from its node is lost',
    { claim: claim('trainer', { status: boundTo('GPU-z') }) },
    { kind: 'Lose', trouble: { reason: 'GPUGone', gpu: 'GPU-z' } },
  ],
  [
    'a bound claim whose GPU is ill is lost',
    {
      claim: claim('trainer', { status: boundTo() }),
      nodes: [node('gpu-1', { gpus: [gpu('GPU-a', 0, { healthy: false })] })],
    },
    { kind: 'Lose', trouble: { reason: 'GPUUnhealthy', gpu: 'GPU-a' } },
  ],
  [
    'a claim whose memory an earlier one has is withdrawn',
    { claim: claim('trainer', { status: boundTo() }), hold: hold(), conflict },
    { kind: 'Withdraw', conflict },
  ],
  [
    'a deleted claim that was bound is released',
    { claim: claim('trainer', { metadata: deleted, status: boundTo() }) },
    { kind: 'Release' },
  ],
  [
    'a deleted claim that never fitted is released too',
    { claim: claim('trainer', { metadata: deleted }) },
    { kind: 'Release' },
  ],
  [
    'a deleted claim is not bound any more',
    { claim: claim('trainer', { metadata: { ...deleted, finalizers: ['example.com/mine'] } }) },
    { kind: 'Rest' },
  ],
  [
    'a released claim that others hold is marked',
    { claim: claim('trainer', { metadata: { ...deleted, finalizers: ['example.com/mine'] }, status: boundTo() }) },
    { kind: 'MarkReleased' },
  ],
];

describe('decide', () => {
  test.each(cases)('%s', (_sentence, given, want) => {
    const nodes = (given.nodes ?? [node()]).map(nodeFacts);
    const snapshot = snapshotOf(nodes, [poolFacts(pool())], []);
    expect(decide(given.claim, { snapshot, hold: given.hold, conflict: given.conflict })).toMatchObject(want);
  });
});
