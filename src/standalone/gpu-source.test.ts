import { describe, expect, test } from '@jest/globals';
import { softwareGpus } from './gpu-source.ts';
import { dataDirAt } from './data-dir.ts';

describe('softwareGpus', () => {
  test('takes the SOFTGPU_ variables and no other, and keeps its own', () => {
    const env = { SOFTGPU_MODEL: 'Small', SOFTGPU_DEVICES: '9x9Gi', SOFTGPU_SEED: undefined, HOME: '/home/user' };
    const dirs = dataDirAt('/state');
    const { environment } = softwareGpus('1x4Gi', { prefix: { softwareGpuLibraries: '/lib' }, dirs, env });
    expect(environment).toEqual({
      SOFTGPU_MODEL: 'Small',
      SOFTGPU_DEVICES: '1x4Gi',
      SOFTGPU_STATE_DIR: dirs.softwareGpus,
    });
  });
});
