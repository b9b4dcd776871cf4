import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { TicketWish } from '../../src/grpc/operator-client.ts';
import type { NodeName } from '../cluster/topology.ts';
import type { TicketQuestion } from './ask-ticket.ts';
import type { ChartCluster } from './chart-cluster.ts';
import { eventually } from './eventually.ts';
import { newHolderKey } from './node-api-fixture.ts';

const ASK_TICKET = resolve(import.meta.dirname, 'ask-ticket.ts');
const PLUGIN = '/usr/local/libexec/aquifer/node .*/js/device-plugin/main.js';
/** To the processes of the node that were started so. */
const SIGNAL =
  'for p in /proc/[0-9]*; do if tr "\\0" " " < $p/cmdline | grep -q "^$2"; then kill "-$1" ${p#/proc/}; fi; done';
const IS_LIVE =
  "fetch('http://127.0.0.1:9961/livez').then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))";
/** Where kubelet keeps which container has which device. */
const CHECKPOINT = '/var/lib/kubelet/device-plugins/kubelet_internal_checkpoint';
const API_SERVER = 'https://kubernetes.default.svc.cluster.local';
const LONG_MS = 240_000;

interface Checkpoint {
  readonly Data: {
    readonly PodDeviceEntries: readonly {
      readonly PodUID: string;
      readonly ResourceName: string;
      readonly DeviceIDs: Readonly<Record<string, readonly string[]>>;
    }[];
  };
}

/** What tests do and read on one node of a cluster that the chart is installed on. */
export class ChartNode {
  readonly #chart: ChartCluster;
  readonly name: NodeName;

  constructor(chart: ChartCluster, name: NodeName) {
    this.#chart = chart;
    this.name = name;
  }

  async signalPlugin(signal: 'KILL' | 'STOP'): Promise<void> {
    await this.#chart.cluster.enter(this.name, ['sh', '-c', SIGNAL, 'sh', signal, PLUGIN]);
  }

  /** Waits until the plugin answers, whoever has started it. */
  async pluginIsBack(): Promise<void> {
    const ask = () => this.#chart.cluster.enter(this.name, [process.execPath, '-e', IS_LIVE]);
    const answers = () =>
      ask().then(
        () => true,
        () => false,
      );
    await eventually(answers, (is) => is, LONG_MS);
  }

  /** The slots that kubelet has given to containers of the pod. */
  async slotsOf(pod: string): Promise<readonly string[]> {
    const uid = await this.#chart.kubectl('get', 'pod', pod, '--output=jsonpath={.metadata.uid}');
    const { stdout } = await this.#chart.cluster.enter(this.name, ['cat', CHECKPOINT]);
    const { Data } = JSON.parse(stdout) as Checkpoint;
    const entries = Data.PodDeviceEntries.filter(
      ({ PodUID, ResourceName }) => PodUID === uid && ResourceName === 'aquifer.dev/slot',
    );
    return entries.flatMap(({ DeviceIDs }) => Object.values(DeviceIDs).flat());
  }

  async connectorLog(): Promise<string> {
    return this.#chart.system('logs', await this.#agentPod(), '--container=connector');
  }

  /** kubectl with a token for the API server as the agent of this node has. */
  async kubectlAsAgent(...words: readonly string[]): Promise<string> {
    const { cluster } = this.#chart;
    const admin = JSON.parse(readFileSync(cluster.kubeconfig, 'utf8')) as { readonly contexts: [{ context: object }] };
    const users = [{ name: 'agent', user: { token: await this.#agentToken(API_SERVER) } }];
    const contexts = [{ name: 'test', context: { ...admin.contexts[0].context, user: 'agent' } }];
    const file = join(cluster.state, `agent-${this.name}.kubeconfig`);
    writeFileSync(file, JSON.stringify({ ...admin, users, contexts }), { mode: 0o600 });
    return (await cluster.kubectl(words, { env: { KUBECONFIG: file } })).stdout;
  }

  /** Asks the operator for a ticket as the agent of this node. @returns `granted`, or the reason why not. */
  async askTicket(wish: Omit<TicketWish, 'holderKey'>): Promise<string> {
    const question: TicketQuestion = {
      address: `ipv4:${await this.#operatorAddresses()}`,
      caPem: await this.#chart.system('get', 'configmap', 'aquifer-ca', '--output=jsonpath={.data.ca\\.crt}'),
      token: await this.#agentToken('aquifer'),
      wish: { ...wish, holderKey: newHolderKey() },
    };
    const words = [process.execPath, ASK_TICKET];
    const { stdout } = await this.#chart.cluster.enter(this.name, words, { stdin: JSON.stringify(question) });
    return stdout.trim();
  }

  async #operatorAddresses(): Promise<string> {
    const selector = '--selector=app.kubernetes.io/component=operator';
    const addresses = await this.#chart.system('get', 'pods', selector, '--output=jsonpath={.items[*].status.podIP}');
    return addresses
      .trim()
      .split(' ')
      .map((address) => `${address}:9962`)
      .join(',');
  }

  async #agentPod(): Promise<string> {
    const words = [`--field-selector=spec.nodeName=${this.name}`, '--output=jsonpath={.items[*].metadata.name}'];
    const component = '--selector=app.kubernetes.io/component in (node,gpu-node)';
    return (await this.#chart.system('get', 'pods', component, ...words)).trim();
  }

  async #agentToken(audience: string): Promise<string> {
    const words = [
      `--audience=${audience}`,
      '--bound-object-kind=Pod',
      `--bound-object-name=${await this.#agentPod()}`,
    ];
    return (await this.#chart.system('create', 'token', 'aquifer-node', ...words)).trim();
  }
}
