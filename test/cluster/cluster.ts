import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beginCluster, becomesReady } from './begin.ts';
import { ensureBaseImages } from './base-images.ts';
import { ensureBinaries } from './binaries.ts';
import { CLUSTER_COMMANDS, type Command } from './components.ts';
import { ensureDebianPackages } from './debian-packages.ts';
import { run, type Ran, type RunOptions } from './run.ts';
import { takeDown } from './take-down.ts';
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

  /** Builds what the cache lacks and starts a cluster. @returns it when both nodes are Ready. @throws Error with the logs. */
  static async up(id: number): Promise<Cluster> {
    const bin = await ensureBinaries(CLUSTER_COMMANDS);
    const debian = ensureDebianPackages();
    const images = await ensureBaseImages(bin, debian);
    const cluster = new Cluster(id, bin);
    mkdirSync(cluster.state, { mode: 0o700 }); // Fails when there is one: only one may have the id.
    try {
      await beginCluster({ state: cluster.state, bin, debian }, images, id);
      await becomesReady(cluster);
    } catch (error) {
      const logs = cluster.logs();
      await takeDown(id);
      throw new Error(`cluster ${id} did not start:\n${logs}`, { cause: error });
    }
    return cluster;
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
    return takeDown(this.id);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.down();
  }
}
