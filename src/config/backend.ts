import { z } from 'zod';
import { hostPort } from '../lib/host-port.ts';
import { directory, kubeletDir, runDir } from './node.ts';
import { logLevel, probeListen, systemNamespace } from './operation.ts';
import { setting } from './setting.ts';
import { durationSchema, nodeNameSchema, softwareGpusSchema } from './values.ts';

const apiServerOf = ({ KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port }: NodeJS.ProcessEnv) =>
  host === undefined ? '' : `https://${hostPort(host, port ?? '443')}`;

/** The settings of `aquifer backend`, the agent of a node of a cluster. */
export const backendSchema = z
  .strictObject({
    nodeName: setting(nodeNameSchema, {
      description: 'Name of the node, and of its GPUNode.',
      placeholder: 'NAME',
      fallback: { text: '$NODE_NAME', from: (env) => env['NODE_NAME'] ?? '' },
    }),
    gpus: setting(z.enum(['none', 'nvidia']).default('none'), {
      description: "Whether the node's GPUs are served: nvidia are those that NVML shows.",
    }),
    softwareGpus: setting(softwareGpusSchema.exactOptional(), {
      description: 'Serve GPUs made of software: 2x8Gi is two with 8 GiB of memory each.',
      placeholder: 'COUNTxMEMORY',
    }),
    namespace: setting(z.string().min(1).max(63), {
      description: 'The namespace of Aquifer, where agents of nodes with GPUs renew a Lease each.',
      placeholder: 'NAME',
      fallback: systemNamespace,
    }),
    endpoint: setting(z.string().max(512), {
      description: "Where connectors of other nodes reach this node's gateway.",
      placeholder: 'HOST:PORT',
      fallback: { text: '$NODE_IP:9960', from: (env) => (env['NODE_IP'] ? hostPort(env['NODE_IP'], 9960) : '') },
    }),
    operator: setting(z.string().min(1).default('dns:///aquifer-operator:9962'), {
      description: 'Where all replicas of the operator are reached.',
      placeholder: 'ADDRESS',
    }),
    operatorName: setting(z.string().min(1).max(253).default('aquifer-operator'), {
      description: "The name in the operator's certificate.",
      placeholder: 'NAME',
    }),
    operatorCa: setting(directory('/etc/aquifer/ca.crt'), {
      description: "The certificate that the operator's comes from.",
      placeholder: 'FILE',
    }),
    operatorToken: setting(directory('/var/run/secrets/aquifer.dev/token'), {
      description: "The pod's ServiceAccount token for the audience aquifer; it is read anew for each call.",
      placeholder: 'FILE',
    }),
    apiServer: setting(z.string().max(512), {
      description: 'URL of the API server, to which the GPUNode is written.',
      placeholder: 'URL',
      fallback: { text: '$KUBERNETES_SERVICE_HOST', from: apiServerOf },
    }),
    serviceAccountDir: setting(directory('/var/run/secrets/kubernetes.io/serviceaccount'), {
      description: 'Directory with the token and ca.crt for the API server.',
      placeholder: 'DIR',
    }),
    kubeletDir,
    runDir,
    heartbeatInterval: setting(durationSchema.prefault('5s'), {
      description: 'How often a node with GPUs reports that it is alive.',
      placeholder: 'SPAN',
    }),
    listen: probeListen('127.0.0.1:9963'),
    logLevel,
  })
  .superRefine(({ gpus, softwareGpus, endpoint, apiServer }, context) => {
    const need = (path: string, message: string) => context.addIssue({ code: 'custom', path: [path], message });
    if (gpus === 'none' && softwareGpus === undefined) return;
    if (gpus !== 'none' && softwareGpus !== undefined) need('gpus', 'must be left out where GPUs are made of software');
    if (!/^.+:[0-9]{1,5}$/.test(endpoint)) need('endpoint', 'must be host:port on a node with GPUs');
    if (!URL.canParse(apiServer)) need('apiServer', 'must be a URL on a node with GPUs');
  });

export type BackendConfig = Readonly<z.output<typeof backendSchema>>;
