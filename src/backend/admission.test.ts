import { describe, expect, test } from '@jest/globals';
import { admit, explainRefusal, type AdmissionInput } from './admission.ts';
import type { Gpu } from './gpu.ts';
import type { Session } from './session-registry.ts';

const GIB = 2 ** 30;

const gpu = (more: Partial<Gpu> = {}): Gpu => ({
  uuid: 'GPU-1',
  index: 0,
  model: 'Software GPU',
  memoryBytes: 8 * GIB,
  computeCapability: '8.0',
  healthy: true,
  ...more,
});

const share = (memoryGiB: number, uuid = 'GPU-1') => ({
  index: 0,
  gpu: uuid,
  memoryBytes: memoryGiB * GIB,
  computePercent: 30,
});

const claim = (name: string) => ({ namespace: 'team-a', name, uid: `uid-of-${name}` });

const session = (name: string, memoryGiB: number, id = name): Session => ({
  session: id,
  claim: claim(name),
  vgpus: [share(memoryGiB)],
  startedAt: new Date(0),
  channel: 'unix',
  peer: '',
  program: {},
});

const input = (more: Partial<AdmissionInput> = {}): AdmissionInput => ({
  ticket: { claim: claim('trainer'), vgpus: [share(2)], maxSessions: 2 },
  claimIsBound: true,
  gpus: [gpu()],
  sessions: [],
  ...more,
});

const refusalOf = (more: Partial<AdmissionInput>): string => {
  const decision = admit(input(more));
  return decision.ok ? 'admitted' : `${decision.error.reason}: ${explainRefusal(decision.error)}`;
};

describe('admit', () => {
  test('gives what the ticket promises', () => {
    expect(admit(input())).toEqual({ ok: true, value: { vgpus: [share(2)] } });
  });

  test('gives a nested container its share of the claim, which stays what it is', () => {
    const small = { name: 'small', memoryBytes: GIB, computePercent: 10, maxSessions: 1 };
    const nested = { shares: [small], oversubscribe: false };
    const ticket = { claim: claim('trainer'), vgpus: [share(2)], maxSessions: 2, nested };
    const container = { key: 'k', id: 'web', wanted: 'small' };
    expect(admit(input({ ticket, container }))).toEqual({
      ok: true,
      value: { vgpus: [share(2)], container: { key: 'k', id: 'web', share: small } },
    });
    expect(refusalOf({ ticket, container: { ...container, wanted: 'large' } })).toMatch(/^ShareUnknown/);
  });

  test('counts the memory of a claim once, however many sessions share it', () => {
    expect(refusalOf({ sessions: [session('other', 6, 'a'), session('other', 6, 'b')] })).toBe('admitted');
  });

  test('does not count what other claims have on another GPU', () => {
    const elsewhere = { ...session('other', 8), vgpus: [share(8, 'GPU-2')] };
    expect(refusalOf({ sessions: [elsewhere], gpus: [gpu(), gpu({ uuid: 'GPU-2' })] })).toBe('admitted');
  });

  test('sums the vGPUs of a ticket that lie on one GPU', () => {
    const ticket = { claim: claim('trainer'), vgpus: [share(5), share(5)], maxSessions: 1 };
    expect(refusalOf({ ticket })).toMatch(/^GPUOvercommitted/);
  });

  test.each<[string, Partial<AdmissionInput>, string]>([
    [
      'a claim that is not bound',
      { claimIsBound: false },
      'ClaimNotBound: claim team-a/trainer has no vGPU: it is pending, being deleted or gone',
    ],
    [
      'one session too many',
      { sessions: [session('trainer', 2, 'a'), session('trainer', 2, 'b')] },
      'SessionsExhausted: claim team-a/trainer has its 2 sessions already: end a program first',
    ],
    ['a GPU of another node', { gpus: [] }, 'GPUNotHere: GPU-1 is not on this node'],
    [
      'a GPU that is not healthy',
      { gpus: [gpu({ healthy: false, reason: 'XID79' })] },
      'GPUUnhealthy: GPU-1 is not healthy: XID79',
    ],
    [
      'memory that programs of other claims may use',
      { sessions: [session('other', 7)] },
      'GPUOvercommitted: GPU-1 has 8Gi; programs of other claims may use 7Gi of it, and the ticket says 2Gi',
    ],
  ])('refuses %s', (_, more, refusal) => {
    expect(refusalOf(more)).toBe(refusal);
  });
});
