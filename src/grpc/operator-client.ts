import { API_VERSION } from '../api/meta.ts';
import type { TicketFile } from '../api/ticket-file.ts';
import type { Clock } from '../lib/clock.ts';
import { NodeAgents } from '../protocol/node-agent.generated.ts';
import { backoffMs } from '../runtime/backoff.ts';
import { sleep } from '../runtime/sleep.ts';
import { stopwatch, type Stopwatch } from '../runtime/stopwatch.ts';
import { rpcClient, type CallOptions } from './client.ts';
import { RpcError } from './rpc-error.ts';

export interface OperatorClientOptions {
  /** All replicas: `dns:///aquifer-operator:9962`. */
  readonly address: string;
  readonly caPem: string;
  /** The name in the certificate of every replica. */
  readonly serverName: string;
  /** The ServiceAccount token as it is now: it is renewed on the disk. */
  readonly token: () => Promise<string>;
  readonly clock: Clock;
  /** Ends what is waited for. */
  readonly signal: AbortSignal;
  /** For so long a call looks for a replica that leads. @default 10000 */
  readonly patienceMs?: number;
}

export interface TicketWish {
  readonly podNamespace: string;
  readonly podName: string;
  readonly podUid: string;
  readonly container: string;
  readonly holderKey: string;
}

export interface SessionReport {
  readonly session: string;
  readonly claimNamespace: string;
  readonly claimName: string;
  readonly claimUid: string;
  readonly ended: boolean;
  readonly reason: string;
}

/** What an agent asks of the operator. Every method rejects with an RpcError: `reason` is the operator's word. */
export interface OperatorClient extends Disposable {
  enrol(csrPem: string): Promise<{
    readonly certificatePem: string;
    readonly caPem: string;
    readonly ticketKeys: readonly { readonly kid: string; readonly x: string }[];
    readonly epoch: number;
  }>;
  issueTicket(wish: TicketWish): Promise<TicketFile>;
  renewTicket(ticket: string, holderKey: string): Promise<string>;
  reportSession(report: SessionReport): Promise<void>;
  /** Claims to close, those that wait to be closed first. Ends when the replica that is followed leads no more. */
  closings(): AsyncIterable<{ readonly claimUid: string; readonly patienceMs: number }>;
  reportClosing(claimUid: string): Promise<void>;
}

const CALL_TIMEOUT_MS = 5000;
/** A name server's answer may be as old: asking it more often tells nothing new. */
const RESOLVE_MS = 2000;
const RETRY = { baseMs: 50, capMs: 500 };

export function operatorClient(options: OperatorClientOptions): OperatorClient {
  const { token, signal } = options;
  const replicas = new Replicas(options);
  const headers = async () => ({ authorization: `Bearer ${(await token()).trim()}` });
  const call = <T>(method: (client: AgentsApi, how: CallOptions) => Promise<T>): Promise<T> =>
    persistently(options, replicas, async () => {
      const how = { timeoutMs: CALL_TIMEOUT_MS, headers: await headers() };
      return method(replicas.client, how);
    });

  return {
    async enrol(csr) {
      const { certificate, ca, ticketKeys, epoch } = await call((client, how) => client.Enrol({ csr }, how));
      return { certificatePem: certificate, caPem: ca, ticketKeys, epoch };
    },
    async issueTicket(wish) {
      const {
        claimNamespace: namespace,
        claimName: name,
        ...rest
      } = await call((client, how) => client.IssueTicket(wish, how));
      return {
        apiVersion: API_VERSION,
        kind: 'Ticket',
        metadata: { name, namespace },
        ...rest,
        endpoints: [...rest.endpoints],
      };
    },
    renewTicket: async (ticket, holderKey) =>
      (await call((client, how) => client.RenewTicket({ ticket, holderKey }, how))).ticket,
    reportSession: async (report) => void (await call((client, how) => client.ReportSession(report, how))),
    async *closings() {
      try {
        yield* replicas.client.FollowClosings({}, { signal, headers: await headers() });
      } catch (error) {
        replicas.learn(error);
        throw error;
      }
    },
    reportClosing: async (claimUid) => void (await call((client, how) => client.ReportClosing({ claimUid }, how))),
    [Symbol.dispose]: () => replicas[Symbol.dispose](),
  };
}

type AgentsApi = ReturnType<typeof rpcClient<typeof NodeAgents.methods>>;

/**
 * The replicas as their name was last resolved. gRPC resolves it anew when a connection fails, but the one that leads may
 * have come later than all that are connected: whoever is told that another leads looks for it by name.
 */
class Replicas implements Disposable {
  readonly #options: OperatorClientOptions;
  #client: AgentsApi;
  #resolved: Stopwatch;

  constructor(options: OperatorClientOptions) {
    this.#options = options;
    this.#client = rpcClient(NodeAgents, { ...options, inTurn: true });
    this.#resolved = stopwatch(options.clock);
  }

  get client(): AgentsApi {
    return this.#client;
  }

  learn(error: unknown): void {
    const isElsewhere = error instanceof RpcError && error.reason === 'NotLeader';
    if (!isElsewhere || this.#resolved.elapsedMs() < RESOLVE_MS) return;
    this.#client[Symbol.dispose]();
    this.#client = rpcClient(NodeAgents, { ...this.#options, inTurn: true });
    this.#resolved = stopwatch(this.#options.clock);
  }

  [Symbol.dispose](): void {
    this.#client[Symbol.dispose]();
  }
}

/** Tries again while nobody could answer: each call may be made twice without harm. */
async function persistently<T>(
  { clock, signal, patienceMs = 10_000 }: OperatorClientOptions,
  replicas: Replicas,
  attempt: () => Promise<T>,
): Promise<T> {
  const untilMs = clock.now().getTime() + patienceMs;
  for (let failures = 1; ; failures++) {
    try {
      return await attempt();
    } catch (error) {
      replicas.learn(error);
      // Calls that keep step with each other would meet the same replica each time, and half of them one that does not lead.
      const delayMs = backoffMs(failures, RETRY) * (0.5 + Math.random());
      if (!mayPass(error) || signal.aborted || clock.now().getTime() + delayMs > untilMs) throw error;
      await sleep(clock, delayMs, signal);
    }
  }
}

const mayPass = (error: unknown): boolean =>
  error instanceof RpcError && (error.code === 'UNAVAILABLE' || error.code === 'DEADLINE_EXCEEDED');
