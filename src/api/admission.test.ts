import { describe, expect, test } from '@jest/globals';
import { admit, kindOf } from './admission.ts';

const claim = (spec: object, rest: object = {}) => ({
  apiVersion: 'aquifer.dev/v1alpha1',
  kind: 'VGPUClaim',
  metadata: { name: 'trainer', namespace: 'team-a' },
  spec: { poolName: 'default', resources: { memory: '8Gi', compute: 30 }, ...spec },
  ...rest,
});

const refusal = (object: unknown, old?: unknown) => {
  const result = admit('VGPUClaim', object, old);
  return result.ok ? [] : result.error.map(({ field, message }) => `${field}: ${message}`);
};

describe('admit', () => {
  test('fills in the defaults', () => {
    const result = admit('VGPUClaim', claim({}));
    expect(result.ok && result.value.spec).toEqual({
      poolName: 'default',
      vgpus: 1,
      resources: { memory: '8Gi', compute: 30 },
      mode: 'Reserved',
      access: 'Any',
      vgpuPlacement: 'Distinct',
    });
  });

  test('fills in the defaults of a pool that says nothing', () => {
    const result = admit('GPUPool', { apiVersion: 'aquifer.dev/v1alpha1', kind: 'GPUPool', metadata: { name: 'p' } });
    expect(result.ok && result.value.spec).toEqual({
      sharing: 'Forwarded',
      slicesPerGPU: 100,
      oversubscription: { compute: 100, memory: 100 },
      placement: 'Pack',
    });
  });

  test('takes a field set to null for one that was left out', () => {
    const result = admit('VGPUClaim', claim({ vgpus: null, gpuSelector: null }));
    expect(result.ok && result.value.spec).toMatchObject({ vgpus: 1 });
    expect(refusal(claim({ poolName: null }))).toEqual(['spec.poolName: is required']);
  });

  test('names an unknown field by its path and guesses what was meant', () => {
    expect(refusal(claim({ resources: { memry: '8Gi', memory: '8Gi', compute: 1 } }))).toEqual([
      'spec.resources.memry: unknown field; did you mean "memory"?',
    ]);
    expect(refusal(claim({ color: 'red' }))).toEqual([
      'spec.color: unknown field; known here: poolName, vgpus, resources, mode, access, vgpuPlacement, gpuSelector, slices, nested, gracePeriodSeconds',
    ]);
    expect(refusal({ ...claim({}), metadata: { name: 'x', namespace: 'y', lables: {} } })).toEqual([
      'metadata.lables: unknown field; did you mean "labels"?',
    ]);
  });

  test('tells all problems at once', () => {
    expect(
      refusal(claim({ poolName: 7, vgpus: 17, mode: 'OnDemand', resources: { memory: '8Gi', compute: 1.5 } })),
    ).toEqual([
      'spec.poolName: must be a string, not 7',
      'spec.vgpus: must be at most 16',
      'spec.resources.compute: must be a whole number, not 1.5',
      'spec.mode: must be "Reserved"',
    ]);
  });

  test.each([
    ['8 Gi', 'must be a quantity of bytes below 8Pi, such as 8Gi, 512Mi or 1.5Gi'],
    ['12Mi', 'must be at least 64Mi'],
  ])('refuses %s of memory: it %s', (memory, message) => {
    expect(refusal(claim({ resources: { memory, compute: 30 } }))).toEqual([`spec.resources.memory: ${message}`]);
  });

  test('points at the one item of a list that is wrong', () => {
    expect(refusal(claim({ gpuSelector: { model: ['A100', 'H100', 'A100'] } }))).toEqual([
      'spec.gpuSelector.model[2]: is in the list twice',
    ]);
  });

  test('wants a namespace where the kind has one, and none where it has not', () => {
    expect(refusal({ ...claim({}), metadata: { name: 'x' } })).toEqual(['metadata.namespace: is required']);
    const pool = { apiVersion: 'aquifer.dev/v1alpha1', kind: 'GPUPool', metadata: { name: 'p', namespace: 'x' } };
    expect(admit('GPUPool', pool)).toMatchObject({ ok: false, error: [{ field: 'metadata.namespace' }] });
  });

  const allocations = [{ vgpu: 0, node: 'gpu-1', gpu: 'GPU-1', memory: '8Gi', compute: 30 }];

  test('lets a pending claim change and holds a bound one to its spec', () => {
    const bound = claim({}, { status: { phase: 'Bound', allocations } });
    const changed = claim({ resources: { memory: '4Gi', compute: 30 } }, { status: { phase: 'Bound', allocations } });
    expect(refusal(changed, claim({}))).toEqual([]);
    expect(refusal(changed, bound)).toEqual([
      'spec: cannot be changed while the claim has its vGPUs: delete the claim and create another',
    ]);
    expect(refusal(bound, bound)).toEqual([]);
  });

  test('refuses what is no object at all', () => {
    expect(refusal('claim')).toEqual([': must be an object, not the string "claim"']);
  });
});

describe('kindOf', () => {
  test('reads the kind of an object', () => {
    expect(kindOf(claim({}))).toEqual({ ok: true, value: 'VGPUClaim' });
  });

  test.each([
    [{ kind: 'GPUPool' }, 'apiVersion', 'must be "aquifer.dev/v1alpha1"'],
    [
      { apiVersion: 'aquifer.dev/v1alpha1', kind: 'gpupool' },
      'kind',
      'must be one of "GPUPool", "GPUNode", "VGPUClaim"; did you mean "GPUPool"?',
    ],
    [{ apiVersion: 'aquifer.dev/v1alpha1' }, 'kind', 'must be one of "GPUPool", "GPUNode", "VGPUClaim"'],
    [[], '', 'must be an object with apiVersion, kind and metadata'],
  ])('refuses %j', (object, field, message) => {
    expect(kindOf(object)).toEqual({ ok: false, error: { field, message } });
  });
});
