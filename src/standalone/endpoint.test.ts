import { expect, test } from '@jest/globals';
import { endpointOf } from './endpoint.ts';

test.each([
  ['127.0.0.1:9960', '127.0.0.1:9960'],
  ['10.0.0.7:9960', '10.0.0.7:9960'],
  ['0.0.0.0:9960', 'gpu-1:9960'],
  ['[::]:9960', 'gpu-1:9960'],
  ['[fd00::7]:9960', '[fd00::7]:9960'],
])('a gateway that listens on %s is reached at %s', (listening, endpoint) => {
  expect(endpointOf(listening, 'gpu-1')).toBe(endpoint);
});
