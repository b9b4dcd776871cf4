import { startOperatorProcess, type OperatorProcess } from './operator-process.ts';
import { eventually } from './eventually.ts';
import type { KubeFixture } from './kube-fixture.ts';
import { proxyWrites, type Answer, type OnWrite, type WriteProxy } from './write-proxy.ts';

/**
 * What becomes of a replica at one of its writes. One that is paused has sent it, and it lands when the pause is over. By
 * the clock of one that is suspended nothing has happened: it believes that it leads.
 */
export type Fate =
  | 'killed before it lands'
  | 'killed after it landed'
  | 'paused past its Lease'
  | 'suspended while another gets its Lease';

const LONG_MS = 120_000;
const LEASE = '/apis/coordination.k8s.io/v1/namespaces/default/leases/aquifer-operator';
/** Short, but no machine that has other things to do loses it. */
const LEASE_DURATION = '6s';

interface Replica {
  readonly proxy: WriteProxy;
  readonly process: OperatorProcess;
}

interface Ambush {
  readonly fate: Fate;
  /** So many writes away, of those that are meant. */
  left: number;
  readonly of: RegExp;
  victim?: Replica;
  write?: string;
}

/** Two replicas of the operator, of which a test stops the one that leads at the write that it chooses. */
export class ReplicaPair implements AsyncDisposable {
  readonly #kube: KubeFixture;
  #replicas: readonly Replica[] = [];
  #ambush: Ambush | undefined;
  #pause = Promise.withResolvers<void>();

  private constructor(kube: KubeFixture) {
    this.#kube = kube;
  }

  static async start(kube: KubeFixture): Promise<ReplicaPair> {
    const pair = new ReplicaPair(kube);
    pair.#replicas = await Promise.all([pair.#startReplica(), pair.#startReplica()]);
    return pair;
  }

  /** Whoever sends the n-th write from now, of such as `of` matches, meets this fate, once one of both leads. */
  async lieInWait(n: number, fate: Fate, of = /^/): Promise<void> {
    await this.#oneLeads();
    this.#ambush = { fate, left: n, of };
  }

  /** The write at which it happened, if it has. */
  get struckAt(): string | undefined {
    return this.#ambush?.write;
  }

  /** Two replicas again, of which one leads. What a paused one had sent lands now. Resolves when one alone leads. */
  async restore(): Promise<void> {
    const { victim, fate = '' } = this.#ambush ?? {};
    this.#ambush = undefined;
    if (victim === undefined) return;
    if (fate.startsWith('killed')) {
      const other = this.#replicas.filter((replica) => replica !== victim);
      this.#replicas = other;
      await end(victim);
      this.#replicas = [...other, await this.#startReplica()];
      return;
    }
    this.#pause.resolve();
    this.#pause = Promise.withResolvers();
    victim.process.signal('SIGCONT');
    await this.#oneLeads();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#replicas.map(end));
  }

  async #startReplica(): Promise<Replica> {
    const started = Promise.withResolvers<Replica>();
    const proxy = await proxyWrites(this.#kube.api.kubeconfig, (write, land) =>
      this.#onWrite(started.promise, write, land),
    );
    // There is no agent that would say that the sessions of a claim are over.
    const process = await startOperatorProcess(proxy.kubeconfig, [
      '--release-timeout=500ms',
      '--agent-grace-period=1h',
      `--lease-duration=${LEASE_DURATION}`,
    ]);
    const replica = { proxy, process };
    started.resolve(replica);
    await process.nodeApi(); // What it writes at its start is no step of a bind.
    return replica;
  }

  async #onWrite(sender: Promise<Replica>, ...[write, land]: Parameters<OnWrite>): ReturnType<OnWrite> {
    const ambush = this.#ambush;
    if (ambush === undefined || ambush.victim !== undefined || !ambush.of.test(write)) return land();
    if (--ambush.left > 0) return land();
    const victim = await sender;
    ambush.victim = victim;
    ambush.write = write;
    return ambush.fate.startsWith('killed')
      ? this.#kill(victim, ambush.fate === 'killed after it landed' ? land : undefined)
      : this.#pauseBefore(victim, land, ambush.fate);
  }

  async #kill({ process }: Replica, land: (() => Promise<Answer>) | undefined): Promise<never> {
    await land?.();
    await process.kill();
    await this.#freeLease();
    throw new Error('nobody is there to be answered');
  }

  async #pauseBefore({ process }: Replica, land: () => Promise<Answer>, fate: Fate): Promise<Answer> {
    const { promise: over } = this.#pause;
    process.signal('SIGSTOP');
    if (fate !== 'paused past its Lease') await this.#freeLease();
    await over;
    return land();
  }

  /** Waits until one believes that it leads, and the other does not. */
  async #oneLeads(): Promise<void> {
    const leading = async (): Promise<number> => {
      const both = this.#replicas.map(({ process }) => process.leads().catch(() => false));
      return (await Promise.all(both)).filter(Boolean).length;
    };
    await eventually(leading, (count) => count === 1, LONG_MS);
  }

  /** As if it had run out. */
  async #freeLease(): Promise<void> {
    const contentType = 'application/merge-patch+json';
    const body = { spec: { holderIdentity: null } };
    await this.#kube.connection.call({ method: 'PATCH', path: LEASE, body, contentType });
  }
}

async function end({ process, proxy }: Replica): Promise<void> {
  await process[Symbol.asyncDispose]();
  await proxy[Symbol.asyncDispose]();
}
