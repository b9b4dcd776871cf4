import { z } from 'zod';
import { setting } from './setting.ts';
import { durationSchema, listenAddressSchema } from './values.ts';

/** Settings of whatever runs the reconcilers, on one host or in a cluster. */

export const agentGracePeriod = setting(durationSchema.prefault('30s'), {
  description: 'How long a node may be silent before its claims are Lost.',
  placeholder: 'SPAN',
});

export const releaseTimeout = setting(durationSchema.prefault('30s'), {
  description: 'How long the release of a claim waits for its programs to end before it ends them.',
  placeholder: 'SPAN',
});

export const logLevel = setting(z.enum(['error', 'warn', 'info', 'debug']).default('info'), {
  description: 'How much is logged.',
});

/** Where a process answers probes and shows its metrics. */
export const probeListen = (address: string) =>
  setting(listenAddressSchema.prefault(address), {
    description: 'Where /livez, /readyz and /metrics are answered.',
    placeholder: 'HOST:PORT',
  });

/** The namespace that Aquifer was installed in. */
export const systemNamespace = {
  text: '$POD_NAMESPACE, or aquifer-system',
  from: (env: Readonly<Record<string, string | undefined>>): string => env['POD_NAMESPACE'] || 'aquifer-system',
};
