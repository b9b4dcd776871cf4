import { z } from 'zod';
import { VERSION } from '../lib/version.ts';
import { setting } from './setting.ts';
import { listenAddressSchema } from './values.ts';

const directory = (standard: string) => z.string().regex(/^\//, 'must be an absolute path').default(standard);

/** The settings of the device plugin. Every path is the same on the node and in the plugin's container. */
export const devicePluginSchema = z.strictObject({
  kubeletDir: setting(directory('/var/lib/kubelet'), {
    description: "Kubelet's root directory; its sockets lie in device-plugins and pod-resources.",
    placeholder: 'DIR',
  }),
  stateDir: setting(directory('/var/lib/aquifer/device-plugin'), {
    description: 'Directory for the list of slices that was told last.',
    placeholder: 'DIR',
  }),
  runDir: setting(directory('/run/aquifer'), {
    description: 'Directory for the slots and the sockets of the node.',
    placeholder: 'DIR',
  }),
  clientDir: setting(directory(`/var/lib/aquifer/client/${VERSION}`), {
    description: 'Directory of the client libraries that containers get. What is in it must never change.',
    placeholder: 'DIR',
  }),
  cdiDevice: setting(
    z
      .string()
      .regex(/^[a-z0-9.-]+\/[A-Za-z0-9_-]+=[A-Za-z0-9_.:-]+$/, 'must be a CDI device: vendor/class=name')
      .exactOptional(),
    {
      description:
        'CDI device that refreshes the loader cache of a container; without it, an image with another libcuda in its cache loads that.',
      placeholder: 'VENDOR/CLASS=NAME',
    },
  ),
  listen: setting(listenAddressSchema.prefault('127.0.0.1:9961'), {
    description: 'Where /livez, /readyz and /metrics are answered.',
    placeholder: 'HOST:PORT',
  }),
  logLevel: setting(z.enum(['error', 'warn', 'info', 'debug']).default('info'), {
    description: 'How much is logged.',
  }),
});

export type DevicePluginConfig = Readonly<z.output<typeof devicePluginSchema>>;
