import { expect, test } from '@jest/globals';
import { boundTo, claim } from '../../../test/support/builders.ts';
import { ClaimCounts } from './claim-counts.ts';

const pending = claim('a');
const bound = claim('a', { status: boundTo() });
const leaving = claim('a', { metadata: { deletionTimestamp: '2026-01-01T00:00:00Z' }, status: boundTo() });

test('claims are counted by pool from their first to their last change', () => {
  const counts = new ClaimCounts();
  counts.observe({ key: 'b', after: claim('b', { spec: { poolName: 'other' } }) });
  const seen = [
    { key: 'a', after: pending },
    { key: 'a', before: pending, after: bound },
    { key: 'a', before: bound, after: { ...bound, status: { ...boundTo(), phase: 'Lost' as const } } },
    { key: 'a', before: bound, after: leaving },
    { key: 'a', before: leaving },
  ].map((change) => {
    counts.observe(change);
    return counts.of('default');
  });
  expect(seen).toEqual([
    { bound: 0, pending: 1 },
    { bound: 1, pending: 0 },
    { bound: 1, pending: 0 },
    { bound: 0, pending: 0 },
    { bound: 0, pending: 0 },
  ]);
  expect([counts.of('other'), counts.of('nowhere')]).toEqual([
    { bound: 0, pending: 1 },
    { bound: 0, pending: 0 },
  ]);
});
