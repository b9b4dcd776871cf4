import { API_VERSION } from '../api/meta.ts';
import type { TicketFile } from '../api/ticket-file.ts';
import type { Clock } from '../lib/clock.ts';
import { NodeAgents } from '../protocol/node-agent.generated.ts';
import { backoffMs } from '../runtime/backoff.ts';
import { sleep } from '../runtime/sleep.ts';
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
const RETRY = { baseMs: 50, capMs: 1000 };

export function operatorClient(options: OperatorClientOptions): OperatorClient {
  const { token, signal } = options;
  const client = rpcClient(NodeAgents, { ...options, inTurn: true });
  const headers = async () => ({ authorization: `Bearer ${(await token()).trim()}` });
  const call = <T>(method: (how: CallOptions) => Promise<T>): Promise<T> =>
    persistently(options, async () => method({ timeoutMs: CALL_TIMEOUT_MS, headers: await headers() }));

  return {
    async enrol(csr) {
      const { certificate, ca, ticketKeys, epoch } = await call((how) => client.Enrol({ csr }, how));
      return { certificatePem: certificate, caPem: ca, ticketKeys, epoch };
    },
    async issueTicket(wish) {
      const {
        claimNamespace: namespace,
        claimName: name,
        ...rest
      } = await call((how) => client.IssueTicket(wish, how));
      return {
        apiVersion: API_VERSION,
        kind: 'Ticket',
        metadata: { name, namespace },
        ...rest,
        endpoints: [...rest.endpoints],
      };
    },
    renewTicket: async (ticket, holderKey) =>
      (await call((how) => client.RenewTicket({ ticket, holderKey }, how))).ticket,
    reportSession: async (report) => void (await call((how) => client.ReportSession(report, how))),
    async *closings() {
      yield* client.FollowClosings({}, { signal, headers: await headers() });
    },
    reportClosing: async (claimUid) => void (await call((how) => client.ReportClosing({ claimUid }, how))),
    [Symbol.dispose]: () => client[Symbol.dispose](),
  };
}

/** Tries again while nobody could answer: each call may be made twice without harm. */
async function persistently<T>(
  { clock, signal, patienceMs = 10_000 }: OperatorClientOptions,
  attempt: () => Promise<T>,
): Promise<T> {
  const untilMs = clock.now().getTime() + patienceMs;
  for (let failures = 1; ; failures++) {
    try {
      return await attempt();
    } catch (error) {
      const delayMs = backoffMs(failures, RETRY);
      if (!mayPass(error) || signal.aborted || clock.now().getTime() + delayMs > untilMs) throw error;
      await sleep(clock, delayMs, signal);
    }
  }
}

const mayPass = (error: unknown): boolean =>
  error instanceof RpcError && (error.code === 'UNAVAILABLE' || error.code === 'DEADLINE_EXCEEDED');
