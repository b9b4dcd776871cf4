import { describe, expect, test } from '@jest/globals';
import { softwareGpus } from './gpu-source.ts';

describe('softwareGpus', () => {
  test('takes the SOFTGPU_ variables and no other, and keeps its own', () => {
    const env = { SOFTGPU_MODEL: 'Small', SOFTGPU_DEVICES: '9x9Gi', SOFTGPU_SEED: undefined, HOME: '/home/user' };
    const { environment } = softwareGpus('1x4Gi', {
      prefix: { softwareGpuLibraries: '/lib' },
      stateDir: '/state',
      env,
    });
    expect(environment).toEqual({
      SOFTGPU_MODEL: 'Small',
      SOFTGPU_DEVICES: '1x4Gi',
      SOFTGPU_STATE_DIR: '/state',
    });
  });
});
