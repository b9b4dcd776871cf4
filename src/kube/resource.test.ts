import { expect, test } from '@jest/globals';
import { StoreError, type Key } from '../runtime/store.ts';
import { collectionPath, kindResources, objectPath, query } from './resource.ts';

const { VGPUClaim: claims, GPUPool: pools } = kindResources;

test('paths are those of the Kubernetes API, with and without a group and a namespace', () => {
  const claim = { namespace: 'team-a', name: 'trainer' };
  expect(objectPath(claims, claim)).toBe('/apis/aquifer.dev/v1alpha1/namespaces/team-a/vgpuclaims/trainer');
  expect(objectPath(pools, { name: 'default' })).toBe('/apis/aquifer.dev/v1alpha1/gpupools/default');
  expect(collectionPath(claims)).toBe('/apis/aquifer.dev/v1alpha1/vgpuclaims');
  const pods = { apiVersion: 'v1', kind: 'Pod', plural: 'pods', namespaced: true };
  expect(collectionPath(pods, 'team-a')).toBe('/api/v1/namespaces/team-a/pods');
});

test.each<[string, Key, string]>([
  ['a name that leads upwards', { namespace: 'team-a', name: '..' }, 'metadata.name'],
  ['a namespace that leads upwards', { namespace: '..', name: 'x' }, 'metadata.namespace'],
  ['no name, which would be the collection', { namespace: 'team-a', name: '' }, 'metadata.name'],
  ['no namespace', { name: 'x' }, 'metadata.namespace'],
])('%s is refused', (_what, key, field) => {
  const refused = (): unknown => objectPath(claims, key);
  expect(refused).toThrow(StoreError);
  expect(refused).toThrow(new RegExp(field));
});

test('a name cannot add to the path or the query', () => {
  expect(objectPath(pools, { name: 'a/status?x=1#y' })).toMatch(/gpupools\/a%2Fstatus%3Fx%3D1%23y$/);
  expect(query({ labelSelector: 'a=b,c=d&e', limit: undefined })).toBe('?labelSelector=a%3Db%2Cc%3Dd%26e');
  expect(query({ limit: undefined })).toBe('');
});
