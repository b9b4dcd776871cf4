import { describe, expect, test } from '@jest/globals';
import { identified } from './container-share.ts';
import { inspectClaim, type InspectionDeps } from './inspection.ts';
import { createSessionRegistry, type Session } from './session-registry.ts';

const GIB = 2 ** 30;
const HOLDER = 'a-holder';
const claim = { namespace: 'team-a', name: 'trainer', uid: 'uid-of-trainer' };
const vgpus = [{ index: 0, gpu: 'GPU-1', memoryBytes: 8 * GIB, computePercent: 80 }];
const small = { name: 'small', memoryBytes: 2 * GIB, computePercent: 20, maxSessions: 2 };
const ticket = { claim, vgpus, maxSessions: 64, nested: { shares: [small], oversubscribe: false }, epoch: 1 };

function world(...ids: readonly string[]): InspectionDeps {
  const registry = createSessionRegistry();
  const common = { claim, vgpus, startedAt: new Date(0), peer: '', program: {}, channel: 'tcp' } as const;
  for (const id of ids) {
    const { key } = identified({ id }, HOLDER);
    const session: Session = { ...common, session: `session-of-${id}`, container: { key, id, share: small } };
    registry.add(session);
  }
  const used = (id: string, gib: number) => ({
    session: `session-of-${id}`,
    claimUid: claim.uid,
    gpu: 'GPU-1',
    memoryBytes: gib * GIB,
    busyNs: 0n,
    launches: 0n,
    utilizationPercent: 10,
  });
  return {
    registry,
    gpus: () => [
      {
        uuid: 'GPU-1',
        index: 0,
        model: 'Software GPU',
        memoryBytes: 8 * GIB,
        computeCapability: '8.0',
        healthy: true,
      },
    ],
    usage: () => ({ at: 0, claims: [], sessions: ids.map((id, at) => used(id, at + 1)) }),
  };
}

const numbers = (deps: InspectionDeps, container?: { readonly id: string; readonly share?: string }) =>
  inspectClaim(deps, { ticket, holder: HOLDER, container }).map(
    ({ memoryBytes, usedBytes, computePercent, utilizationPercent }) => ({
      memoryGiB: Number(memoryBytes) / GIB,
      usedGiB: Number(usedBytes) / GIB,
      computePercent,
      utilizationPercent,
    }),
  );

describe('what a program is told of its vGPU', () => {
  test('is its claim, with what all of its sessions use', () => {
    const want = { memoryGiB: 8, usedGiB: 3, computePercent: 80, utilizationPercent: 20 };
    expect(numbers(world('web', 'train'))).toEqual([want]);
  });

  test('is the share of its container, with nothing of the others', () => {
    const want = { memoryGiB: 2, usedGiB: 2, computePercent: 20, utilizationPercent: 10 };
    expect(numbers(world('web', 'train'), { id: 'train', share: 'small' })).toEqual([want]);
  });

  test('is nothing where the share is none', () => {
    expect(() => numbers(world(), { id: 'web', share: 'huge' })).toThrow(/the claim has no share "huge"/);
  });
});
