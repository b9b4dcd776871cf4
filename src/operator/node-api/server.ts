import { RpcError } from '../../grpc/rpc-error.ts';
import { serveRpc, type Handlers, type RpcServer, type ServerTls } from '../../grpc/server.ts';
import { NodeAgents } from '../../protocol/node-agent.generated.ts';
import type { Ticket } from '../ticket/issuer.ts';
import { callerOf, granted, type CallerDeps, type CallerOf } from './caller.ts';
import { claimOf } from './decide.ts';
import type { Enrolments, Leader, Pods } from './ports.ts';
import * as requests from './requests.ts';

export interface NodeApiOptions extends CallerDeps {
  /** `host:port`; port 0 takes a free one. */
  readonly address: string;
  readonly tls: ServerTls;
  readonly pods: Pods;
  readonly enrolments: Enrolments;
  /** Undefined while another replica leads. */
  readonly leader: () => Leader | undefined;
  readonly answered?: (method: string, code: string) => void;
}

/** No request of an agent is near as long. */
const MAX_REQUEST_BYTES = 64 * 1024;

/** Serves the agents of nodes, each for its own node and nothing else. */
export function serveNodeApi(options: NodeApiOptions): Promise<RpcServer> {
  const { address, tls, log, leader, answered } = options;
  const leading = (): Leader => {
    const now = leader();
    if (now !== undefined) return now;
    throw new RpcError('UNAVAILABLE', 'another replica leads', { reason: 'NotLeader' });
  };
  const parts: Parts = { ...options, caller: callerOf(options), leading };
  const handlers = { ...enrolHandlers(parts), ...ticketHandlers(parts), ...sessionHandlers(parts) };
  return serveRpc(NodeAgents, handlers, {
    address,
    tls,
    maxRequestBytes: MAX_REQUEST_BYTES,
    failed: (err) => log.error('call of a node agent failed', { err }),
    ...(answered === undefined ? {} : { answered }),
  });
}

interface Parts extends NodeApiOptions {
  readonly caller: CallerOf;
  /** @throws RpcError while another replica leads. */
  readonly leading: () => Leader;
}

type NodeApi = Handlers<(typeof NodeAgents)['methods']>;

const enrolHandlers = ({ caller, enrolments, log }: Parts): Pick<NodeApi, 'Enrol'> => ({
  async Enrol(request, context) {
    const node = await caller(context);
    const { csr } = requests.checked(requests.enrol, request);
    const { certificatePem: certificate, ticketKeys, epoch } = granted(await enrolments.enrol(csr, node));
    log.info('gateway enrolled', { node });
    return { certificate, ca: enrolments.caPem, ticketKeys, epoch };
  },
});

const ticketHandlers = (parts: Parts): Pick<NodeApi, 'IssueTicket' | 'RenewTicket'> => ({
  async IssueTicket(request, context) {
    const { caller, pods, leading, enrolments } = parts;
    const node = await caller(context);
    const wish = requests.checked(requests.issueTicket, request);
    const claim = granted(claimOf(wish, node, await pods.get(wish.podNamespace, wish.podName)));
    // Asked last: whoever led when the call came may have been replaced while we read.
    return issued(granted(leading().issuer.sign({ claim, holderKey: wish.holderKey, node })), enrolments.caPem);
  },

  async RenewTicket(request, context) {
    const { caller, leading } = parts;
    await caller(context);
    const { ticket, holderKey } = requests.checked(requests.renewTicket, request);
    return { ticket: granted(await leading().issuer.renew(ticket, holderKey)).text };
  },
});

function issued({ text, claim }: Ticket, ca: string) {
  const allocations = claim.status?.allocations ?? [];
  const addresses = new Map(allocations.map(({ node, endpoint = '' }) => [node, endpoint]));
  return {
    claimNamespace: claim.metadata.namespace ?? '',
    claimName: claim.metadata.name,
    ticket: text,
    ca,
    endpoints: [...addresses].map(([node, address]) => ({ node, address })),
  };
}

type SessionMethods = 'ReportSession' | 'FollowClosings' | 'ReportClosing';

const sessionHandlers = ({ caller, leading, clock, log }: Parts): Pick<NodeApi, SessionMethods> => ({
  async ReportSession(request, context) {
    const node = await caller(context);
    const { session, ended, reason, ...claim } = requests.checked(requests.reportSession, request);
    const { claimNamespace: namespace, claimName: name, claimUid: uid } = claim;
    leading().report(node, { session, claim: { namespace, name, uid }, ended, reason });
    return {};
  },

  async FollowClosings(_, { header, send, over }) {
    const node = await caller({ header });
    const { closings, lost } = leading();
    using _following = closings.follow(node, ({ claimUid, deadline }) =>
      send({ claimUid, patienceMs: Math.max(0, deadline.getTime() - clock.now().getTime()) }),
    );
    log.info('backend follows', { node });
    await Promise.race([over, lost]);
  },

  async ReportClosing(request, context) {
    const node = await caller(context);
    leading().closings.closed(node, requests.checked(requests.reportClosing, request).claimUid);
    return {};
  },
});
