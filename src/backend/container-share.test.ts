import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  explainShareRefusal,
  identified,
  shareFor,
  type AdmittedContainer,
  type ShareInput,
} from './container-share.ts';

const GIB = 2 ** 30;
const small = { name: 'small', memoryBytes: 2 * GIB, computePercent: 20, maxSessions: 2 };
const half = { name: 'half', memoryBytes: 4 * GIB, computePercent: 40, maxSessions: 2 };
const division = { shares: [small, half], defaultShare: 'small', oversubscribe: false };
const claim = { memoryBytes: 8 * GIB, computePercent: 80, maxSessions: 64 };

const input = (more: Partial<ShareInput> = {}): ShareInput => ({
  container: { key: 'a', id: 'a' },
  wanted: undefined,
  division,
  claim,
  living: [],
  ...more,
});

const has = (key: string, share = small): AdmittedContainer => ({ key, id: key, share });

function outcome(more: Partial<ShareInput>): string {
  const result = shareFor(input(more));
  if (result.ok) return result.value.share?.name ?? 'the claim';
  return `${result.error.reason}: ${explainShareRefusal(result.error)}`;
}

describe('shareFor', () => {
  test.each<[string, Partial<ShareInput>, string]>([
    ['the share that is named', { wanted: 'half' }, 'half'],
    ['the default share where none is named', {}, 'small'],
    ['the claim itself where it is not divided', { division: undefined }, 'the claim'],
    ['its share for a second program', { wanted: 'half', living: [has('b', half), has('a', half)] }, 'half'],
    [
      'more than there is, where that is wanted',
      { wanted: 'half', division: { ...division, oversubscribe: true }, living: [has('b', half), has('c', half)] },
      'half',
    ],
    ['what others leave, who are counted once', { wanted: 'half', living: [has('b', half), has('b', half)] }, 'half'],
  ])('gives %s', (_, more, want) => {
    expect(outcome(more)).toBe(want);
  });

  test.each<[string, Partial<ShareInput>, string]>([
    [
      'a share that there is not',
      { wanted: 'huge' },
      'ShareUnknown: the claim has no share "huge"; its shares are small, half',
    ],
    [
      'a share of a claim that is not divided',
      { wanted: 'small', division: undefined },
      'ShareUnknown: the claim has no share "small"; it is not divided',
    ],
    [
      'no share where there is no default',
      { division: { ...division, defaultShare: undefined } },
      'ShareRequired: the claim has no default share, and the container names none; its shares are small, half',
    ],
    [
      'a second share',
      { living: [has('a', half)] },
      'ShareConflict: the container has the share half and cannot have small as well',
    ],
    [
      'one program too many',
      { living: [has('a'), has('a')] },
      'ContainerSessionsExhausted: the container has its 2 sessions already: end a program first',
    ],
    [
      'what others were promised',
      { wanted: 'half', living: [has('b', half), has('c', small)] },
      "SharesExhausted: there is no room for the share half: other containers were promised 6Gi of the claim's 8Gi",
    ],
    [
      'sessions that others were promised',
      { claim: { ...claim, maxSessions: 3 }, living: [has('b')] },
      "SharesExhausted: there is no room for the share small: other containers were promised 2 sessions of the claim's 3 sessions",
    ],
  ])('refuses %s', (_, more, want) => {
    expect(outcome(more)).toBe(want);
  });

  test('never promises more than the claim has, whoever comes in whichever order', () => {
    const asks = fc.array(fc.tuple(fc.constantFrom('a', 'b', 'c', 'd', 'e'), fc.constantFrom('small', 'half')));
    fc.assert(
      fc.property(asks, (wishes) => {
        let living: readonly AdmittedContainer[] = [];
        for (const [key, wanted] of wishes) {
          const result = shareFor(input({ container: { key, id: key }, wanted, living }));
          if (result.ok) living = [...living, result.value];
        }
        const promised = [...new Map(living.map((one) => [one.key, one.share])).values()];
        const total = promised.reduce((sum, share) => sum + (share?.computePercent ?? 0), 0);
        return total <= claim.computePercent;
      }),
    );
  });
});

test("the key of a container is its holder's own", () => {
  const keyOf = (holder: string): string => identified({ id: 'web' }, holder).key;
  expect(keyOf('one')).toMatch(/^[0-9a-f]{16}$/);
  expect(keyOf('one')).toBe(keyOf('one'));
  expect(keyOf('one')).not.toBe(keyOf('two'));
});
