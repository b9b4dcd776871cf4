import { expect, test } from '@jest/globals';
import { hostPort } from './host-port.ts';

test.each([
  ['gpu-1', 'gpu-1:9960'],
  ['10.0.0.7', '10.0.0.7:9960'],
  ['fd00::7', '[fd00::7]:9960'],
])('%s is reached at %s', (host, address) => {
  expect(hostPort(host, 9960)).toBe(address);
});
