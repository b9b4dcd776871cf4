import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beginCluster, becomesReady, type Beginning } from './begin.ts';
import { ensureBinaries } from './binaries.ts';
import { claimFreeId, claimId, releaseId } from './claim-id.ts';
import { CLUSTER_COMMANDS, type Command } from './components.ts';
import { ensureParts, type Parts } from './parts.ts';
import { run, type Ran, type RunOptions } from './run.ts';
import { NODES, PLACES, SCRIPTS, stateFolder, type NodeName, type Where } from './topology.ts';

/** A real Kubernetes of two nodes in namespaces of this machine. Needs root. Several lie side by side, each with its id. */
export class Cluster implements AsyncDisposable {
  readonly id: number;
  /** Its folder: configuration, logs and what the nodes keep. */
  readonly state: string;
  readonly #bin: string;

  private constructor(id: number, bin: string) {
    this.id = id;
    this.state = stateFolder(id);
    this.#bin = bin;
  }

  /** The file of an administrator's kubeconfig, for programs on this machine. */
  get kubeconfig(): string {
    return join(this.state, 'kubeconfig');
  }

  /** Starts the cluster of this id, which then lives on by itself. @throws Error when there is one. */
  static async up(id: number): Promise<Cluster> {
    const parts = await ensureParts();
    if (!(await claimId(id)))
      throw new Error(`there is a cluster ${id} already, or it is being started: make cluster-down`);
    return Cluster.#start(parts, { id, lifetime: 'on its own' });
  }

  /** Starts a cluster beside all others. It ends with this process at the latest. */
  static async forTest(): Promise<Cluster> {
    const parts = await ensureParts();
    return Cluster.#start(parts, { id: await claimFreeId(), lifetime: 'with its owner' });
  }

  /** @returns the cluster when both nodes are Ready. @throws Error with the logs. */
  static async #start(parts: Parts, beginning: Beginning): Promise<Cluster> {
    const cluster = new Cluster(beginning.id, parts.bin);
    try {
      await beginCluster(cluster.state, parts, beginning);
      await becomesReady(cluster);
      return cluster;
    } catch (error) {
      const logs = cluster.logs();
      await cluster.down();
      throw new Error(`cluster ${cluster.id} did not start:\n${logs}`, { cause: error });
    }
  }

  /** The cluster of this id that `up` of another process started. @throws Error when there is none. */
  static async attach(id: number): Promise<Cluster> {
    if (!existsSync(join(stateFolder(id), 'kubeconfig'))) throw new Error(`there is no cluster ${id}: make cluster-up`);
    return new Cluster(id, await ensureBinaries(CLUSTER_COMMANDS));
  }

  kubectl(words: readonly string[], options: RunOptions = {}): Promise<Ran> {
    return this.#run('kubectl', words, options);
  }

  /** Builds helm where the cache lacks it. */
  async helm(words: readonly string[], options: RunOptions = {}): Promise<Ran> {
    await ensureBinaries(['helm']);
    return this.#run('helm', words, options);
  }

  /** With the cluster's kubeconfig, and with its caches in the cluster's folder. */
  #run(program: Command, words: readonly string[], options: RunOptions): Promise<Ran> {
    const folder = (name: string): string => join(this.state, name);
    const env = {
      KUBECONFIG: this.kubeconfig,
      KUBECACHEDIR: folder('kubectl-cache'),
      HELM_CACHE_HOME: folder('helm-cache'),
      HELM_CONFIG_HOME: folder('helm-config'),
      HELM_DATA_HOME: folder('helm-data'),
    };
    return run([join(this.#bin, program), ...words], { ...options, env: { ...env, ...options.env } });
  }

  /** Applies the objects and says what became of each. */
  apply(...objects: readonly object[]): Promise<Ran> {
    const list = { apiVersion: 'v1', kind: 'List', items: objects };
    return this.kubectl(['apply', '--filename', '-'], { stdin: JSON.stringify(list) });
  }

  /** Runs a command in the namespaces and cgroups of the control plane or of a node. */
  enter(where: Where, words: readonly string[], options: RunOptions = {}): Promise<Ran> {
    return run([join(SCRIPTS, 'enter.sh'), this.state, where, ...words], options);
  }

  /** kill -9 of a component, as a crash would. */
  async kill(where: Where, component: string): Promise<void> {
    const pid = readFileSync(join(this.state, where, `${component}.pid`), 'utf8').trim();
    await this.enter(where, ['kill', '-9', pid]);
  }

  /** Starts a component that was killed. */
  async start(where: Where, component: string): Promise<void> {
    await this.enter(where, [join(SCRIPTS, 'start-component.sh'), this.state, where, component]);
  }

  /** Loads an OCI archive into the nodes' containerd. */
  async load(archive: string, nodes: readonly NodeName[] = NODES.map(({ name }) => name)): Promise<void> {
    const words = ['ctr', '--namespace', 'k8s.io', 'images', 'import', archive];
    await Promise.all(nodes.map((node) => this.enter(node, words)));
  }

  /** The ends of all logs, for a message about a failure. */
  logs(lines = 8): string {
    const files = PLACES.flatMap((place) => {
      const folder = join(this.state, place);
      const names = existsSync(folder) ? readdirSync(folder) : [];
      return names.filter((name) => name.endsWith('.log')).map((name) => join(place, name));
    });
    const endOf = (file: string): string =>
      readFileSync(join(this.state, file), 'utf8').trimEnd().split('\n').slice(-lines).join('\n');
    return files.map((file) => `== ${file}\n${endOf(file)}`).join('\n');
  }

  /** Ends all its processes and removes all that it was. */
  down(): Promise<void> {
    return releaseId(this.id);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.down();
  }
}
