import { describe, expect, test } from '@jest/globals';
import { pod } from '../../../test/support/builders.ts';
import type { Pod, Requirement, SelectorTerm } from '../../api/pod.ts';
import { mayGoTo } from './node-fit.ts';

const node = { name: 'gpu-1', labels: { zone: 'a', cores: '16' } };
const withSpec = (spec: Partial<Pod['spec']>): Pod => ({ ...pod('p'), spec: { ...pod('p').spec, ...spec } });
const requiring = (...nodeSelectorTerms: SelectorTerm[]): Pod =>
  withSpec({
    affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms } } },
  });
const label = (key: string, operator: string, ...values: string[]): Requirement => ({ key, operator, values });

describe('a pod may go to a node', () => {
  test.each<[string, Pod, boolean]>([
    ['when it asks for no node', pod('p'), true],
    ['that has the labels of its nodeSelector', withSpec({ nodeSelector: { zone: 'a' } }), true],
    ['but not without one of them', withSpec({ nodeSelector: { zone: 'a', disk: 'ssd' } }), false],
    [
      'by one term of several',
      requiring({ matchExpressions: [label('zone', 'In', 'b')] }, { matchExpressions: [label('zone', 'In', 'a')] }),
      true,
    ],
    [
      'only where all of a term holds',
      requiring({ matchExpressions: [label('zone', 'In', 'a'), label('disk', 'Exists')] }),
      false,
    ],
    ['by its name', requiring({ matchFields: [label('metadata.name', 'In', 'gpu-1')] }), true],
    ['not by the name of another', requiring({ matchFields: [label('metadata.name', 'In', 'gpu-2')] }), false],
    ['not by a term that is empty', requiring({}), false],
    [
      'that lacks a label',
      requiring({ matchExpressions: [label('disk', 'NotIn', 'hdd'), label('disk', 'DoesNotExist')] }),
      true,
    ],
    ['with more than a number', requiring({ matchExpressions: [label('cores', 'Gt', '8')] }), true],
    ['with less than a number', requiring({ matchExpressions: [label('cores', 'Lt', '16')] }), false],
    ['not by what is no number', requiring({ matchExpressions: [label('zone', 'Gt', '8')] }), false],
    ['not by an operator that nobody knows', requiring({ matchExpressions: [label('zone', 'Near', 'a')] }), false],
  ])('%s', (_what, asking, may) => {
    expect(mayGoTo(asking, node)).toBe(may);
  });
});
