import { addressFlag, expiresFlag } from '../flag.ts';
import type { VerbForm } from '../verb.ts';

export const KUBECTL_AQUIFER = 'kubectl aquifer';

/** The one verb of the plugin: all else is done by kubectl itself. */
export const kubectlTicketForm: VerbForm = {
  name: 'ticket',
  program: KUBECTL_AQUIFER,
  usage: 'NAME --for KEY [flags]',
  summary: "Print a ticket with which a program outside the cluster may use a claim's vGPUs",
  details:
    'It creates a TicketRequest, waits for the answer of the operator, and removes it. The ticket is bound to the key from the\n' +
    'start, and worthless to anybody else. `aquifer-connector key` prints the key of the other host,\nthat of a guest with --state-dir /var/lib/aquifer-connector.',
  examples: [
    'kubectl aquifer ticket trainer --for "$(ssh host aquifer-connector key)" > ticket.json',
    'kubectl aquifer ticket trainer -n team-a --for "$KEY" --address gpu-1.example:9960',
  ],
  flags: [
    { name: 'for', value: 'KEY', help: 'Bind the ticket to this key; required' },
    { name: 'namespace', short: 'n', value: 'NAMESPACE', help: 'Namespace of the claim, if not that of the context' },
    expiresFlag,
    {
      ...addressFlag,
      help: 'Where the holder reaches the gateway, if not where the nodes of the cluster do: host:port. May be repeated',
    },
    { name: 'timeout', value: 'TIME', help: 'How long to wait for the ticket; 0 means without end', default: '1m' },
    { name: 'kubeconfig', value: 'FILE', help: 'How to reach the cluster (also KUBECONFIG)' },
    { name: 'context', value: 'NAME', help: 'The context of the kubeconfig, if not the current one' },
  ],
};
