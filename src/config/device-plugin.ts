import { z } from 'zod';
import { VERSION } from '../lib/version.ts';
import { absolutePath, directory, kubeletDir, runDir } from './node.ts';
import { logLevel, probeListen } from './operation.ts';
import { setting } from './setting.ts';

/** The settings of the device plugin. */
export const devicePluginSchema = z.strictObject({
  kubeletDir,
  stateDir: setting(directory('/var/lib/aquifer/device-plugin'), {
    description: 'Directory for the list of slices that was told last.',
    placeholder: 'DIR',
  }),
  runDir,
  clientDir: setting(directory(`/var/lib/aquifer/client/${VERSION}`), {
    description: 'Directory of the client libraries that containers get. What is in it must never change.',
    placeholder: 'DIR',
  }),
  cdiDir: setting(absolutePath.exactOptional(), {
    description:
      'Directory where container runtimes look for CDI specifications; without it, an image with another libcuda in its loader cache loads that.',
    placeholder: 'DIR',
  }),
  listen: probeListen('127.0.0.1:9961'),
  logLevel,
});

export type DevicePluginConfig = Readonly<z.output<typeof devicePluginSchema>>;
