import { hostname } from 'node:os';
import { resolve } from 'node:path';
import { z } from 'zod';
import { dataDirectory } from './data-directory.ts';
import { agentGracePeriod, logLevel, releaseTimeout } from './operation.ts';
import { setting } from './setting.ts';
import { durationSchema, listenAddressSchema, nodeNameSchema, softwareGpusSchema } from './values.ts';

/** A host name as the name of a node: Kubernetes allows lower-case letters, digits, `-` and `.` only. */
const nodeNameOf = (host: string): string =>
  host
    .toLowerCase()
    .replaceAll(/[^a-z0-9.-]+/g, '-')
    .replaceAll(/^[^a-z0-9]+|[^a-z0-9]+$/g, '') || 'localhost';

/** The settings of `aquifer serve`. */
export const serveSchema = z
  .strictObject({
    dataDir: setting(
      z
        .string()
        .min(1)
        .transform((path) => resolve(path)),
      {
        description: 'Directory that holds the state and the sockets.',
        placeholder: 'DIR',
        fallback: {
          text: '$XDG_STATE_HOME/aquifer, or ~/.local/state/aquifer',
          from: (env) => dataDirectory(undefined, env),
        },
      },
    ),
    softwareGpus: setting(softwareGpusSchema.exactOptional(), {
      description: 'Serve GPUs made of software instead of those of this host: 2x8Gi is two with 8 GiB of memory each.',
      placeholder: 'COUNTxMEMORY',
    }),
    listen: setting(listenAddressSchema.prefault('127.0.0.1:9960'), {
      description:
        'Where programs of other hosts reach the gateway. The default is for this host only; 0.0.0.0:9960 is for all.',
      placeholder: 'HOST:PORT',
    }),
    vsock: setting(z.boolean().default(false), {
      description:
        'Whether guests of this host that have a vsock device reach the gateway at port 9960 of it. The ticket is demanded ' +
        'there as everywhere. Guests on vhost-user-vsock do without: `aquifer guest attach` lets each in.',
    }),
    metricsListen: setting(listenAddressSchema.exactOptional(), {
      description:
        'Where /livez, /readyz and /metrics are answered for others than the user of serve. The default is nowhere: ' +
        'claims have names. run/api.sock in the data directory answers them always.',
      placeholder: 'HOST:PORT',
    }),
    nodeName: setting(nodeNameSchema, {
      description: 'Name of this node, and of its GPUNode.',
      placeholder: 'NAME',
      fallback: { text: 'the host name', from: () => nodeNameOf(hostname()) },
    }),
    heartbeatInterval: setting(durationSchema.prefault('5s'), {
      description: 'How often the node reports that it is alive.',
      placeholder: 'SPAN',
    }),
    agentGracePeriod,
    releaseTimeout,
    logLevel,
  })
  .refine(({ heartbeatInterval, agentGracePeriod }) => agentGracePeriod.ms >= 2 * heartbeatInterval.ms, {
    path: ['agentGracePeriod'],
    message: 'must be at least twice the heartbeat interval, or a node that is well would count as lost',
  });

export type ServeConfig = Readonly<z.output<typeof serveSchema>>;
