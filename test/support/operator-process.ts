import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { eventually } from './eventually.ts';
import { BackgroundProgram } from './background-program.ts';

const MAIN = resolve(import.meta.dirname, '../../src/operator/main.ts');
/** The operator as it is installed, with the settings of Node that it is shipped with. */
export const INSTALLED_OPERATOR = [resolve(import.meta.dirname, '../../build/dist/bin/aquifer'), 'operator'] as const;
const START_MS = 180_000;

/** An `aquifer operator` in a process of its own. */
export interface OperatorProcess extends AsyncDisposable {
  readonly pid: number;
  /** The lines of its log. */
  log(): readonly Readonly<Record<string, unknown>>[];
  /** Where it serves node agents. */
  nodeApi(): Promise<string>;
  /** Where it answers probes. */
  metricsAddress(): string;
  /** GET of its probe server. */
  probe(path: string): Promise<{ readonly status: number; readonly text: string }>;
  leads(): Promise<boolean>;
  signal(name: NodeJS.Signals): void;
  kill(): Promise<void>;
  stop(): Promise<void>;
}

/** Starts a replica that renews a Lease of three seconds; it is ready when its probes answer. */
export async function startOperatorProcess(
  kubeconfig: string,
  args: readonly string[] = [],
  main: readonly string[] = [process.execPath, MAIN],
): Promise<OperatorProcess> {
  const folder = mkdtempSync(join(tmpdir(), 'aq-operator-'));
  const words = [
    '--kubeconfig',
    kubeconfig,
    '--listen',
    '127.0.0.1:0',
    '--namespace',
    'default',
    '--node-api-listen',
    '127.0.0.1:0',
  ];
  const lease = args.includes('--lease-duration') ? [] : ['--lease-duration', '3s'];
  const command = [...main, ...words, ...lease, ...args];
  const program = new BackgroundProgram('operator', command, join(folder, 'log'));
  const log = () => program.logLines();
  const portOf = (): unknown => log().find(({ message }) => message === 'standing by')?.['port'];
  await program.start(() => Promise.resolve(portOf() !== undefined), START_MS);

  const probe = async (path: string): Promise<{ status: number; text: string }> => {
    const response = await fetch(`http://127.0.0.1:${String(portOf())}${path}`);
    return { status: response.status, text: await response.text() };
  };
  const metricsAddress = (): string => `127.0.0.1:${String(portOf())}`;
  const nodeApiPort = (): unknown => log().find(({ message }) => message === 'serving node agents')?.['port'];
  return {
    pid: program.pid,
    log,
    metricsAddress,
    nodeApi: async () =>
      `ipv4:127.0.0.1:${String(await eventually(nodeApiPort, (port) => port !== undefined, START_MS))}`,
    probe,
    leads: async () => (await probe('/metrics')).text.includes('aquifer_operator_leader 1'),
    signal: (name) => program.signal(name),
    kill: () => program.end('SIGKILL'),
    stop: () => program.end('SIGTERM'),
    async [Symbol.asyncDispose]() {
      await program.end('SIGKILL');
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
