import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { join, resolve } from 'node:path';
import { connectLines } from '../../src/ipc/line-client.ts';
import { agentToken, mountServiceAccount } from './agent-token.ts';
import { BackgroundProgram } from './background-program.ts';
import { uniqueName } from './conformance/fixture.ts';
import { eventually } from './eventually.ts';
import { FakeKubelet } from './fake-kubelet.ts';
import type { KubeFixture } from './kube-fixture.ts';
import { pluginOn, runDirOf } from './plugin-fixture.ts';
import { PREFIX, type Ran } from './serve.ts';

const SLOT = 'aquifer.dev/slot';
const START_MS = 60_000;
const AGENT_MAIN = resolve(import.meta.dirname, '../../src/backend/main.ts');

export interface ClusterNodeOptions {
  readonly name: string;
  readonly kube: KubeFixture;
  readonly operator: string;
  readonly operatorCa: string;
  /** Such as 1x4Gi; without it the node has no GPU. */
  readonly softwareGpus?: string;
}

/** A container of a pod, as the node sees it. */
export interface RunningPod {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

/** All of our processes of one node, on an API server and an operator that are real; kubelet and cgroups are not. */
export interface ClusterNode extends AsyncDisposable {
  /** Kubelet starts the pod's container in a slot. */
  startContainer(slot: string, pod: RunningPod): Promise<void>;
  /** Runs a program in a container of the pod that sees the slot. */
  run(slot: string, pod: RunningPod, command: readonly string[]): Promise<Ran>;
  /** How many programs of this node compute. */
  computing(): Promise<number>;
  /** Where the agent tells its metrics. */
  metricsAddress(): string;
  stopAgent(): Promise<void>;
  restartAgent(): Promise<void>;
  stopConnector(): Promise<void>;
  startConnector(): Promise<void>;
}

export async function startClusterNode(options: ClusterNodeOptions): Promise<ClusterNode> {
  await using stack = new AsyncDisposableStack();
  const kubelet = stack.use(new FakeKubelet());
  await kubelet.start();
  stack.use(await pluginOn(kubelet));
  const run = runDirOf(kubelet);
  const native = nativePrograms(kubelet.directory, options.name);
  const proc = join(kubelet.directory, 'proc');
  mkdirSync(proc);
  if (options.softwareGpus !== undefined) {
    for (const program of [native.spawner, native.gateway]) stack.use(await program());
  }
  const endpoint = options.softwareGpus === undefined ? [] : [`--endpoint=${listenOf(run)}`];
  const startAgent = await agentStarter(kubelet, options, endpoint);
  let agent = await startAgent();
  stack.defer(() => agent.stop());
  const startConnector = native.connector;
  let connector = await startConnector();
  stack.defer(() => connector[Symbol.asyncDispose]());
  const owned = stack.move();
  return {
    async startContainer(slot, { namespace, name }) {
      kubelet.givenOut = new Map([[SLOT, [slot]]]);
      kubelet.pod = { namespace, name, container: 'main' };
      await eventually(
        () => kubelet.devices(SLOT),
        (devices) => devices !== undefined,
      );
      await kubelet.call(SLOT, 'PreStartContainer', { devicesIds: [slot] });
    },
    run: (slot, { uid }, command) =>
      runIn(command, {
        PROC: proc,
        CGROUP: `/kubepods/burstable/pod${uid}/${'c'.repeat(64)}`,
        AQUIFER_SOCKET: join(run, 'slots', slot, 'session.sock'),
        LD_LIBRARY_PATH: join(PREFIX, 'lib/aquifer/client'),
      }),
    computing: () => sessionsOf(join(run, 'connector.sock')),
    metricsAddress: () => `127.0.0.1:${agent.port}`,
    stopAgent: () => agent.stop(),
    async restartAgent() {
      await agent.stop();
      agent = await startAgent();
    },
    stopConnector: async () => connector[Symbol.asyncDispose](),
    async startConnector() {
      connector = await startConnector();
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function nativePrograms(directory: string, node: string) {
  const run = join(directory, 'run');
  const program = (name: string, binary: string, args: readonly string[]) => async (): Promise<AsyncDisposable> => {
    const started = new BackgroundProgram(name, [join(PREFIX, binary), ...args], join(directory, `${name}.log`));
    await started.start(() => Promise.resolve(existsSync(join(run, `${name}.json`))), START_MS);
    return { [Symbol.asyncDispose]: () => started.end('SIGTERM') };
  };
  const slots = [
    '--slots-dir',
    join(run, 'slots'),
    '--agent',
    join(run, 'agent.sock'),
    '--proc',
    join(directory, 'proc'),
  ];
  const state = ['--control', join(run, 'connector.sock'), '--state-dir', join(run, 'connector')];
  const worker = join(PREFIX, 'libexec/aquifer/worker');
  return {
    spawner: program('spawner', 'libexec/aquifer/spawner', ['--run-dir', run, '--worker', worker]),
    gateway: program('gateway', 'libexec/aquifer/gateway', [
      '--run-dir',
      run,
      '--node',
      node,
      '--listen',
      '127.0.0.1:0',
    ]),
    connector: program('connector', 'bin/aquifer-connector', [...state, ...slots]),
  };
}

const listenOf = (run: string): string =>
  (JSON.parse(readFileSync(join(run, 'gateway.json'), 'utf8')) as { readonly listen: readonly string[] }).listen[0] ??
  '';

interface Agent {
  /** Where it answers probes. */
  readonly port: number;
  readonly stop: () => Promise<void>;
}

/** What starts agents, each in a process of its own. */
async function agentStarter(
  kubelet: FakeKubelet,
  { name, kube, operator, operatorCa, softwareGpus }: ClusterNodeOptions,
  more: readonly string[],
): Promise<() => Promise<Agent>> {
  const file = (path: string): string => join(kubelet.directory, path);
  writeFileSync(file('operator-ca.crt'), operatorCa);
  writeFileSync(file('operator-token'), await agentToken(kube.connection, 'aquifer', name));
  await mountServiceAccount(kube, kubelet.directory);
  const argv = [
    `--node-name=${name}`,
    '--namespace=default',
    `--operator=${operator}`,
    `--operator-ca=${file('operator-ca.crt')}`,
    `--operator-token=${file('operator-token')}`,
    `--api-server=${kube.api.url}`,
    `--service-account-dir=${kubelet.directory}`,
    `--kubelet-dir=${kubelet.directory}`,
    `--run-dir=${runDirOf(kubelet)}`,
    '--listen=127.0.0.1:0',
    '--heartbeat-interval=500ms',
    ...(softwareGpus === undefined ? [] : [`--software-gpus=${softwareGpus}`]),
    ...more,
  ];
  const command = ['env', `AQUIFER_PREFIX=${PREFIX}`, process.execPath, AGENT_MAIN, ...argv];
  return async () => {
    const logFile = file(`agent-${uniqueName('log')}`);
    const program = new BackgroundProgram('agent', command, logFile);
    const started = () => program.logLines().find(({ message }) => message === 'agent started');
    await program.start(() => Promise.resolve(started() !== undefined), START_MS);
    return { port: Number(started()?.['port']), stop: () => program.end('SIGTERM') };
  };
}

async function sessionsOf(path: string): Promise<number> {
  const client = await connectLines({ path, name: 'test', version: '0' });
  const { sessions } = await client.request('list').finally(() => client.close());
  return (sessions as readonly unknown[]).length;
}

/** In a cgroup that the connector is told of: kubelet's own would need a kubelet. */
async function runIn(command: readonly string[], env: Readonly<Record<string, string>>): Promise<Ran> {
  const script = `mkdir -p "$PROC/$$" && printf '0::%s\\n' "$CGROUP" > "$PROC/$$/cgroup" && exec "$@"`;
  const child = spawn('sh', ['-c', script, 'sh', ...command], { env: { PATH: '/usr/bin:/bin', ...env } });
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
  return { code: typeof code === 'number' ? code : 128, stdout, stderr };
}
