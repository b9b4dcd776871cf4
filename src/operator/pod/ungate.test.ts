import { expect, test } from '@jest/globals';
import { pod } from '../../../test/support/builders.ts';
import type { Affinity, Pod } from '../../api/pod.ts';
import { ungatePatch } from './ungate.ts';

const waiting = (affinity?: Affinity): Pod => {
  const base = pod('p');
  const schedulingGates = [{ name: 'example.com/other' }, ...(base.spec.schedulingGates ?? [])];
  return { ...base, spec: { ...base.spec, schedulingGates, ...(affinity === undefined ? {} : { affinity }) } };
};
const here = { key: 'metadata.name', operator: 'In', values: ['gpu-1'] };
const places = { nodes: ['gpu-1'], bound: true };

test('only our gate is taken off', () => {
  expect(ungatePatch(waiting(), places).spec).toMatchObject({ schedulingGates: [{ name: 'example.com/other' }] });
});

test('a pod that has to run on the node of its vGPU is kept to it by each of its terms', () => {
  const zone = { key: 'zone', operator: 'In', values: ['a'] };
  const required = (...nodeSelectorTerms: object[]) => ({
    nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms } },
  });
  expect(ungatePatch(waiting(), places).spec).toMatchObject({ affinity: required({ matchFields: [here] }) });
  const terms = [{ matchExpressions: [zone] }, { matchFields: [here] }, {}];
  const affinity = { podAntiAffinity: {}, ...required(...terms) };
  expect(ungatePatch(waiting(affinity), places).spec).toMatchObject({
    affinity: {
      podAntiAffinity: {},
      ...required({ matchExpressions: [zone], matchFields: [here] }, { matchFields: [here, here] }, {}),
    },
  });
});

test('any other only prefers it', () => {
  const affinity = {
    nodeAffinity: {
      preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 100, preference: { matchFields: [here] } }],
    },
  };
  expect(ungatePatch(waiting(), { ...places, bound: false }).spec).toMatchObject({ affinity });
});
