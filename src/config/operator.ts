import { z } from 'zod';
import { agentGracePeriod, logLevel, probeListen, releaseTimeout, systemNamespace } from './operation.ts';
import { setting } from './setting.ts';
import { durationSchema, listenAddressSchema } from './values.ts';

const MIN_LEASE_MS = 3000; // A renewal may take a second of a busy API server's time.

/** The settings of `aquifer operator`. */
export const operatorSchema = z.strictObject({
  kubeconfig: setting(z.string().min(1).exactOptional(), {
    description:
      'How to reach the API server. Without it: the files that KUBECONFIG names, ~/.kube/config, or in a pod its ServiceAccount.',
    placeholder: 'FILE',
  }),
  listen: probeListen('0.0.0.0:8081'),
  nodeApiListen: setting(listenAddressSchema.prefault('0.0.0.0:9962'), {
    description: 'Where node agents reach the operator, over TLS.',
    placeholder: 'HOST:PORT',
  }),
  nodeAgents: setting(
    z
      .array(z.string().regex(/^[a-z0-9-]+[/][a-z0-9.-]+$/, 'must be namespace/name'))
      .default(['aquifer-system/aquifer-node']),
    { description: 'The ServiceAccounts of node agents, as namespace/name.', placeholder: 'NAMES' },
  ),
  leaseName: setting(z.string().min(1).max(253).default('aquifer-operator'), {
    description: 'The Lease that the replicas compete for: one of them leads.',
    placeholder: 'NAME',
  }),
  namespace: setting(z.string().min(1).max(63), {
    description: 'The namespace of the operator, where its Lease, its keys and its certificate are kept.',
    placeholder: 'NAME',
    fallback: systemNamespace,
  }),
  leaseDuration: setting(
    durationSchema
      .refine(({ ms }) => ms >= MIN_LEASE_MS, 'must be at least 3s: the API server may take a second for a renewal')
      .prefault('15s'),
    {
      description:
        'How long another replica waits for a leader that no longer renews. The leader stops after two thirds.',
      placeholder: 'SPAN',
    },
  ),
  agentGracePeriod,
  releaseTimeout,
  logLevel,
});

export type OperatorConfig = Readonly<z.output<typeof operatorSchema>>;
