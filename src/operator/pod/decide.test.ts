import { describe, expect, test } from '@jest/globals';
import { boundTo, claim, pod } from '../../../test/support/builders.ts';
import type { VGPUClaim } from '../../api/kinds.ts';
import type { Pod } from '../../api/pod.ts';
import { RELEASE_FINALIZER } from '../../api/vgpu-claim.ts';
import { err, ok } from '../../lib/result.ts';
import { decide } from './decide.ts';
import type { Decision, World } from './decision.ts';
import { ownClaimName } from './own-claim.ts';

/** Where a pod of 25 slices finds a place. */
const quarter = { node: 'gpu-1', memoryBytes: 2 * 1024 ** 3, computePercent: 25 };

const world = (...claims: VGPUClaim[]): World => ({
  claim: (namespace: string, name: string) =>
    claims.find(({ metadata: m }) => m.namespace === namespace && m.name === name),
  isSomewhere: (name: string) => claims.some(({ metadata: m }) => m.name === name),
  placeSlices: () => ok(quarter),
  offersSlices: () => true,
});

const waits = (reason: string, message: string): Decision => ({ kind: 'Wait', reason, message }) as Decision;

describe('a pod that names a claim', () => {
  const naming = pod('p', { 'aquifer.dev/claim': 'trainer' });

  test('is ungated once the claim is bound', () => {
    const bound = claim('trainer', { status: boundTo() });
    expect(decide(naming, world(bound))).toEqual({ kind: 'Ungate', claim: bound });
  });

  test.each<[string, VGPUClaim[], Decision]>([
    [
      'a claim that is not there',
      [],
      waits('ClaimNotFound', 'there is no claim trainer in namespace team-a: create it, or name another'),
    ],
    [
      'a claim of another namespace, which is not named',
      [claim('trainer', { metadata: { namespace: 'secret' }, status: boundTo() })],
      waits(
        'ClaimNotFound',
        'there is no claim trainer in namespace team-a: another namespace has one, but pods use claims of their own namespace only',
      ),
    ],
    ['a claim that nobody has looked at yet, in silence', [claim()], { kind: 'Rest' }],
    [
      'a claim that waits itself, with its reason',
      [
        claim('trainer', {
          status: {
            phase: 'Pending',
            conditions: [{ ...boundTo().conditions[0], status: 'False', reason: 'GPUTooSmall', message: 'needs 64Gi' }],
          },
        }),
      ],
      waits('ClaimNotReady', 'claim trainer is Pending: needs 64Gi'),
    ],
    [
      'a claim that is being deleted',
      [claim('trainer', { metadata: { deletionTimestamp: '2026-01-01T00:00:00Z' }, status: boundTo() })],
      waits('ClaimNotReady', 'claim trainer is being deleted'),
    ],
  ])('waits for %s', (_what, claims, decision) => {
    expect(decide(naming, world(...claims))).toEqual(decision);
  });
});

describe('a pod that wants a claim of its own', () => {
  const wanting = pod('p', { 'aquifer.dev/memory': '4Gi', 'aquifer.dev/compute': '25' });
  const own = (status?: VGPUClaim['status'], uid: string = wanting.metadata.uid): VGPUClaim =>
    claim(ownClaimName(wanting), {
      metadata: { ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name: 'p', uid }] },
      ...(status === undefined ? {} : { status }),
    });

  test('has it made, in its namespace, of the pool default, owned by the pod', () => {
    expect(decide(wanting, world())).toEqual({
      kind: 'MakeClaim',
      draft: {
        metadata: {
          name: ownClaimName(wanting),
          namespace: 'team-a',
          finalizers: [RELEASE_FINALIZER],
          ownerReferences: [expect.objectContaining({ kind: 'Pod', name: 'p', uid: 'uid-p', controller: true })],
        },
        spec: { poolName: 'default', resources: { memory: '4Gi', compute: 25 } },
      },
    });
  });

  test('may name the pool', () => {
    const annotations = { ...wanting.metadata.annotations, 'aquifer.dev/pool': 'fast' };
    expect(decide(pod('p', annotations), world())).toMatchObject({ draft: { spec: { poolName: 'fast' } } });
  });

  test('is ungated once it is bound, and not by a claim of somebody else that has its name', () => {
    expect(decide(wanting, world(own(boundTo())))).toMatchObject({ kind: 'Ungate' });
    expect(decide(wanting, world(own(boundTo(), 'another')))).toMatchObject({ reason: 'ClaimNameTaken' });
  });

  test('gives it back when the pod is over, once', () => {
    const over = pod('p', wanting.metadata.annotations, { gated: false, phase: 'Succeeded' });
    const claimed = own(boundTo());
    expect(decide(over, world(claimed))).toEqual({ kind: 'DropClaim', claim: claimed });
    expect(decide(over, world(own(boundTo(), 'another')))).toEqual({ kind: 'Rest' });
    const leaving = { ...claimed, metadata: { ...claimed.metadata, deletionTimestamp: '2026-01-01T00:00:00Z' } };
    expect(decide(over, world(leaving))).toEqual({ kind: 'Rest' });
  });

  test('its name ends where names of claims do, and differs for a pod made anew', () => {
    const long = pod(`${'a'.repeat(53)}.${'b'.repeat(100)}`);
    expect(ownClaimName(long)).toMatch(/^a{53}-[0-9a-f]{8}$/);
    const again = { ...long, metadata: { ...long.metadata, uid: 'another' } };
    expect(ownClaimName(again)).not.toBe(ownClaimName(long));
  });
});

test('a pod that lists an init container is told that only sidecars run beside the others', () => {
  const base = pod('p', { 'aquifer.dev/claim': 'trainer', 'aquifer.dev/containers': 'setup' });
  const listing = { ...base, spec: { ...base.spec, initContainers: [{ name: 'setup' }] } };
  expect(decide(listing, world())).toMatchObject({
    reason: 'InvalidRequest',
    message: expect.stringContaining('"setup", but an init container has ended before the pod has its vGPU') as unknown,
  });
});

describe('a pod that asks for what cannot be', () => {
  const both = { 'aquifer.dev/memory': '4Gi', 'aquifer.dev/compute': '25' };

  test.each<[string, Record<string, string>, string]>([
    [
      'no compute',
      { 'aquifer.dev/memory': '4Gi' },
      'aquifer.dev/compute is missing: say how much, in percent of one GPU, such as "25"',
    ],
    ['no memory', { 'aquifer.dev/compute': '25' }, 'aquifer.dev/memory is missing: say how much, such as 4Gi'],
    [
      'compute in words',
      { ...both, 'aquifer.dev/compute': 'half' },
      'aquifer.dev/compute must be a whole number from 1 to 100, not "half"',
    ],
    ['too much compute', { ...both, 'aquifer.dev/compute': '101' }, 'aquifer.dev/compute must be at most 100'],
    ['no compute at all', { ...both, 'aquifer.dev/compute': '0' }, 'aquifer.dev/compute must be at least 1'],
    [
      'memory in words',
      { ...both, 'aquifer.dev/memory': 'much' },
      'aquifer.dev/memory must be a quantity of bytes below 8Pi, such as 8Gi, 512Mi or 1.5Gi',
    ],
    ['too little memory', { ...both, 'aquifer.dev/memory': '1Mi' }, 'aquifer.dev/memory must be at least 64Mi'],
    ['an empty pool', { ...both, 'aquifer.dev/pool': '' }, 'aquifer.dev/pool must be at least 1 character long'],
    ['no name', { 'aquifer.dev/claim': '' }, 'aquifer.dev/claim is empty: name a claim'],
    [
      'a claim and an amount',
      { ...both, 'aquifer.dev/claim': 'trainer' },
      'aquifer.dev/claim names a claim, which says what it is: leave out aquifer.dev/memory and aquifer.dev/compute',
    ],
    [
      'a claim and a pool',
      { 'aquifer.dev/claim': 'trainer', 'aquifer.dev/pool': 'fast' },
      'aquifer.dev/claim names a claim, which says what it is: leave out aquifer.dev/pool',
    ],
    [
      'an annotation with a slip',
      { ...both, 'aquifer.dev/memry': '4Gi' },
      'unknown annotation aquifer.dev/memry; did you mean aquifer.dev/memory?',
    ],
    [
      'what only a claim can say',
      { ...both, 'aquifer.dev/vgpuPlacement': 'Shared' },
      'unknown annotation aquifer.dev/vgpuPlacement; known are aquifer.dev/claim, aquifer.dev/memory, aquifer.dev/compute, aquifer.dev/pool, aquifer.dev/containers',
    ],
    ['a pool alone', { 'aquifer.dev/pool': 'fast' }, 'aquifer.dev/memory is missing: say how much, such as 4Gi'],
    [
      'containers that are not there',
      { ...both, 'aquifer.dev/containers': 'main,side' },
      'aquifer.dev/containers names "side", but the pod has no such container; it has main',
    ],
    ['nothing', {}, 'nothing is asked for any more: put the annotations back, or delete the pod'],
  ])('%s: is told what would be right', (_what, annotations, message) => {
    expect(decide(pod('p', annotations), world())).toEqual(waits('InvalidRequest', message));
  });
});

test('a pod that is scheduled, or is being deleted, is left alone', () => {
  const asking = { 'aquifer.dev/claim': 'trainer' };
  const bound = world(claim('trainer', { status: boundTo() }));
  expect(decide(pod('p', asking, { gated: false, phase: 'Running' }), bound)).toEqual({ kind: 'Rest' });
  const leaving = pod('p', asking);
  const metadata = { ...leaving.metadata, deletionTimestamp: '2026-01-01T00:00:00Z' };
  expect(decide({ ...leaving, metadata }, bound)).toEqual({ kind: 'Rest' });
});

const limited = (limits: Record<string, string>, annotations: Record<string, string> = {}): Pod => {
  const base = pod('p', annotations);
  const containers = Object.entries(limits).map(([name, count]) => ({
    name,
    resources: { limits: { 'aquifer.dev/slice': count, 'aquifer.dev/slot': '1' } },
  }));
  return { ...base, spec: { ...base.spec, containers } };
};

describe('a pod with a limit of slices', () => {
  const sliced = limited({ main: '25' });
  const spec = {
    poolName: 'default',
    resources: { memory: '2Gi', compute: 25 },
    slices: { count: 25, nodeName: 'gpu-1' },
  };
  const own = (status?: VGPUClaim['status'], more: Partial<VGPUClaim['spec']> = {}): VGPUClaim =>
    claim(ownClaimName(sliced), {
      metadata: { ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name: 'p', uid: sliced.metadata.uid }] },
      spec: { ...spec, ...more },
      ...(status === undefined ? {} : { status }),
    });
  const refused: VGPUClaim['status'] = {
    phase: 'Pending',
    conditions: [{ ...boundTo().conditions[0], status: 'False', reason: 'InsufficientMemory', message: 'needs 2Gi' }],
  };
  const nowhere: World['placeSlices'] = () => err({ reason: 'NoGPUs', pool: 'default' });

  test('has its claim made for a node that has room, and is ungated once that is bound', () => {
    expect(decide(sliced, world())).toMatchObject({ kind: 'MakeClaim', draft: { spec } });
    expect(decide(sliced, world(own(boundTo())))).toMatchObject({ kind: 'Ungate' });
  });

  test('waits until kubelet knows of its slices', () => {
    const early: World = { ...world(own(boundTo())), offersSlices: () => false };
    expect(decide(sliced, early)).toMatchObject({ kind: 'Wait', reason: 'ClaimNotReady' });
  });

  test('counts all its containers together', () => {
    const counts: unknown[] = [];
    const placeSlices: World['placeSlices'] = (_, ask) => {
      counts.push(ask);
      return ok(quarter);
    };
    decide(limited({ a: '20', b: '5' }, { 'aquifer.dev/pool': 'fast' }), { ...world(), placeSlices });
    expect(counts).toEqual([expect.objectContaining({ poolName: 'fast', count: 25 })]);
  });

  test('waits without a claim where there is no room', () => {
    const why = 'pool default has no GPUs: no node that its nodeSelector selects shows one';
    const message = `aquifer.dev/slice: 25 in all: ${why}`;
    expect(decide(sliced, { ...world(), placeSlices: nowhere })).toEqual(waits('SlicesUnavailable', message));
  });

  test('lets another claim be made when others were quicker and there is room elsewhere, and only then', () => {
    const late = own(refused);
    const elsewhere: World['placeSlices'] = () => ok({ ...quarter, node: 'gpu-2' });
    expect(decide(sliced, { ...world(late), placeSlices: elsewhere })).toEqual({ kind: 'DropClaim', claim: late });
    const waiting = { kind: 'Wait', reason: 'ClaimNotReady' };
    expect(decide(sliced, world(late))).toMatchObject(waiting);
    expect(decide(sliced, { ...world(late), placeSlices: nowhere })).toMatchObject(waiting);
    expect(decide(sliced, { ...world(own()), placeSlices: elsewhere })).toEqual({ kind: 'Rest' });
    const going = { ...late, metadata: { ...late.metadata, deletionTimestamp: '2026-01-01T00:00:00Z' } };
    expect(decide(sliced, { ...world(going), placeSlices: elsewhere })).toMatchObject(waiting);
  });

  const brief = {
    ...sliced,
    spec: { ...sliced.spec, initContainers: [{ ...sliced.spec.containers[0], name: 'init' }] },
  };
  test.each<[string, Pod, World['placeSlices'], string]>([
    [
      'a claim too',
      limited({ main: '25' }, { 'aquifer.dev/claim': 'trainer' }),
      nowhere,
      'leave out aquifer.dev/claim',
    ],
    ['a number in another form', limited({ main: '1e1' }), nowhere, 'must be a plain number'],
    ['slices of an init container', brief, nowhere, 'init container init ends before the pod has its vGPU'],
    ['an empty pool', limited({ main: '1' }, { 'aquifer.dev/pool': '' }), nowhere, 'aquifer.dev/pool is empty'],
    [
      'more than one GPU has',
      limited({ main: '120' }),
      () => err({ reason: 'TooManySlices', count: 120, slicesPerGpu: 100 }),
      'needs 120 slices of one GPU, which has 100',
    ],
  ])('%s: is told what would be right', (_what, asking, placeSlices, message) => {
    expect(decide(asking, { ...world(), placeSlices })).toMatchObject({
      reason: 'InvalidRequest',
      message: expect.stringContaining(message),
    });
  });
});
