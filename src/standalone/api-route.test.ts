import { expect, test } from '@jest/globals';
import { labelsOf, routeOf } from './api-route.ts';

const PREFIX = '/apis/aquifer.dev/v1alpha1';

test.each([
  [`${PREFIX}/gpupools`, { at: 'collection', kind: 'GPUPool' }],
  [`${PREFIX}/gpupools/default`, { at: 'object', kind: 'GPUPool', name: 'default' }],
  [`${PREFIX}/vgpuclaims`, { at: 'collection', kind: 'VGPUClaim' }],
  [`${PREFIX}/namespaces/a/vgpuclaims`, { at: 'collection', kind: 'VGPUClaim', namespace: 'a' }],
  [`${PREFIX}/namespaces/a/vgpuclaims/b%2Fc`, { at: 'object', kind: 'VGPUClaim', namespace: 'a', name: 'b/c' }],
  ['/sessions', { at: 'sessions' }],
])('%s is a route', (path, route) => {
  expect(routeOf(path)).toEqual(route);
});

test.each([
  '/',
  '/apis',
  `${PREFIX}/pods`,
  `${PREFIX}/vgpuclaims/b`,
  `${PREFIX}/namespaces/a/gpupools`,
  `${PREFIX}/namespaces//vgpuclaims`,
  `${PREFIX}/gpupools/a/status`,
  `${PREFIX}/gpupools/%ff`,
])('%s is none', (path) => {
  expect(routeOf(path)).toBeUndefined();
});

test('labels are pairs of key and value', () => {
  expect(labelsOf('a=b, c==d,e=')).toEqual({ a: 'b', c: 'd', e: '' });
  expect(labelsOf('a!=b')).toBeUndefined();
  expect(labelsOf('a')).toBeUndefined();
});
