import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { boundTo, claim, gpu, node, pool } from '../../test/support/builders.ts';
import type { VGPUClaim } from '../api/kinds.ts';
import { gpuAt, type Allocation } from '../core/allocation/snapshot.ts';
import { Inventory } from './inventory.ts';

const GI = 1024 ** 3;
const onA: Allocation = { vgpu: 0, node: 'gpu-1', gpu: 'GPU-a', memoryBytes: 4 * GI, computePercent: 25 };

function inventory(): Inventory {
  const account = new Inventory();
  account.observePool({ key: 'default', after: pool() });
  account.observeNode({ key: 'gpu-1', after: node() });
  return account;
}

const promisedGi = (account: Inventory, uuid = 'GPU-a'): number =>
  (gpuAt(account.snapshot(), 'gpu-1', uuid)?.promisedBytes ?? Number.NaN) / GI;

const at = (name: string, resourceVersion: string, status?: VGPUClaim['status']): VGPUClaim =>
  claim(name, { metadata: { resourceVersion }, status });

describe('the account', () => {
  test('holds an assumed share at once, and after a failure of its write too', () => {
    const account = inventory();
    {
      using _assumed = account.assume(at('a', '1'), [onA]);
      expect(promisedGi(account)).toBe(4);
    }
    expect(promisedGi(account)).toBe(4);
    expect(account.holdOf(at('a', '1'))?.confirmed).toBe(false);
  });

  test('gives a share in doubt back when the claim is read at another version without it', () => {
    const account = inventory();
    account.assume(at('a', '1'), [onA])[Symbol.dispose]();
    expect(account.observeClaim({ key: 'a', before: at('a', '1'), after: at('a', '2') })).toBe('Released');
    expect(promisedGi(account)).toBe(0);
  });

  test('believes what was read over the answer of a write that comes later', () => {
    const account = inventory();
    const assumed = account.assume(at('a', '1'), [onA]);
    account.observeClaim({ key: 'a', before: at('a', '1'), after: at('a', '3', boundTo('GPU-b')) });
    assumed.confirm();
    expect([promisedGi(account, 'GPU-a'), promisedGi(account, 'GPU-b')]).toEqual([0, 4]);
  });

  test('keeps what is promised of a GPU that is away, and counts it when it is back', () => {
    const account = inventory();
    account.observeClaim({ key: 'a', after: at('a', '2', boundTo()) });
    account.observeNode({ key: 'gpu-1', before: node() });
    expect(promisedGi(account)).toBeNaN();
    account.observeNode({ key: 'gpu-1', after: node() });
    expect(promisedGi(account)).toBe(4);
  });

  test('says what all claims on a pool have, also those whose write is in doubt', () => {
    const account = inventory();
    account.observeClaim({ key: 'a', after: at('a', '2', boundTo('GPU-a')) });
    account.assume(at('b', '1'), [{ ...onA, gpu: 'GPU-b' }])[Symbol.dispose]();
    expect(account.promisedIn('default')).toEqual({ memoryBytes: 8 * GI, computePercent: 50 });
    account.observeClaim({ key: 'a', before: at('a', '2', boundTo('GPU-a')) });
    account.observeClaim({ key: 'b', before: at('b', '1'), after: at('b', '2') });
    expect(account.promisedIn('default')).toEqual({ memoryBytes: 0, computePercent: 0 });
  });

  test('takes a claim that was made anew under its old name for another', () => {
    const account = inventory();
    account.observeClaim({ key: 'a', after: at('a', '2', boundTo()) });
    const again = claim('a', { metadata: { uid: 'another', resourceVersion: '9' } });
    expect(account.observeClaim({ key: 'a', before: at('a', '2', boundTo()), after: again })).toBe('Released');
    expect(promisedGi(account)).toBe(0);
  });

  test("does not take another version of a node's agent for a change of what there is", () => {
    const account = inventory();
    const agent = { version: '0.1.1', endpoint: 'gpu-1:9960' };
    expect(account.observeNode({ key: 'gpu-1', after: node('gpu-1', { agent }) })).toBe('None');
    const gpus = [gpu('GPU-a', 0, { healthy: false }), gpu('GPU-b', 1)];
    expect(account.observeNode({ key: 'gpu-1', after: node('gpu-1', { agent, gpus }) })).toBe('Capacity');
  });

  test('finds the later of two claims on the same memory, in whatever order they are read', () => {
    const early = at('early', '1', boundTo('GPU-a', { memory: '6Gi', boundAt: '2026-01-01T00:00:01Z' }));
    const late = at('late', '2', boundTo('GPU-a', { memory: '6Gi', boundAt: '2026-01-01T00:00:02Z' }));
    for (const order of [
      [early, late],
      [late, early],
    ]) {
      const account = inventory();
      for (const after of order) account.observeClaim({ key: after.metadata.name, after });
      expect(account.conflictOf(early)).toBeUndefined();
      expect(account.conflictOf(late)).toEqual({
        node: 'gpu-1',
        gpu: 'GPU-a',
        memoryBytes: 8 * GI,
        earlierBytes: 6 * GI,
        ownBytes: 6 * GI,
      });
    }
  });

  test('keeps the small claims that fit beside a large one that does not', () => {
    const account = inventory();
    const claims = [
      ['a', '6Gi'],
      ['b', '4Gi'],
      ['c', '2Gi'],
    ].map(([name = '', memory = ''], i) =>
      at(name, String(i), boundTo('GPU-a', { memory, boundAt: `2026-01-01T00:00:0${i}Z` })),
    );
    for (const after of claims) account.observeClaim({ key: after.metadata.name, after });
    expect(claims.map((each) => account.conflictOf(each) !== undefined)).toEqual([false, true, true]);
    account.observeClaim({ key: 'b', before: claims[1], after: at('b', '9') });
    expect(claims[2] && account.conflictOf(claims[2])).toBeUndefined();
  });

  test('is the same whether it was kept up step by step or rebuilt from the statuses', () => {
    const step = fc.record({
      name: fc.constantFrom('a', 'b', 'c', 'd'),
      gpu: fc.constantFrom('GPU-a', 'GPU-b', undefined),
      memory: fc.constantFrom('1Gi', '2Gi', '5Gi'),
      assume: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        const account = inventory();
        account.snapshot();
        const now = new Map<string, VGPUClaim>();
        steps.forEach(({ name, gpu: uuid, memory, assume }, i) => {
          const after = at(name, String(i), uuid === undefined ? undefined : boundTo(uuid, { memory }));
          if (assume) account.assume(now.get(name) ?? after, [onA])[Symbol.dispose]();
          account.observeClaim({ key: name, before: now.get(name), after });
          now.set(name, after);
        });
        const rebuilt = inventory();
        for (const [name, after] of now) rebuilt.observeClaim({ key: name, after });
        expect(account.snapshot()).toEqual(rebuilt.snapshot());
      }),
    );
  });
});
