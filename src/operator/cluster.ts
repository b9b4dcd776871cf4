import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import type { TicketRequestKinds } from '../api/cluster-kinds.ts';
import type { Kinds } from '../api/kinds.ts';
import type { PodKinds } from '../api/pod.ts';
import type { OperatorConfig } from '../config/operator.ts';
import type { RpcServer } from '../grpc/server.ts';
import { publishConfigMap } from '../kube/config-map.ts';
import type { Connection } from '../kube/connection.ts';
import { agentLeases, leaseHeartbeats, type LeaseKinds } from '../kube/heartbeats.ts';
import { leaseStore } from '../kube/lease.ts';
import { kindResources, podResources, ticketRequestResources } from '../kube/resource.ts';
import { secretTexts } from '../kube/secrets.ts';
import { kubeStore } from '../kube/store.ts';
import { tokenReviews } from '../kube/token-reviews.ts';
import type { Clock } from '../lib/clock.ts';
import { hostPort } from '../lib/host-port.ts';
import type { Log } from '../lib/log.ts';
import { untilDone } from '../runtime/retry.ts';
import { isStoreError } from '../runtime/store.ts';
import { enrolments } from './node-api/enrolments.ts';
import { leading } from './node-api/leading.ts';
import { renewedServer } from './node-api/renewed-server.ts';
import { serveNodeApi } from './node-api/server.ts';
import { sessionClosings } from './node-api/session-closings.ts';
import type { OperatorOptions } from './operator.ts';
import { openAuthority, type Authority } from './pki/authority.ts';
import { OPERATOR_NAME, serverIdentity } from './pki/server-identity.ts';
import { podFacts } from './pod/facts.ts';
import { startReplica, type Replica } from './replica.ts';

const MANAGER = 'aquifer-operator';
const AUDIENCE = 'aquifer';
const CA_CONFIG_MAP = 'aquifer-ca';

export interface ClusterOptions extends Pick<OperatorOptions, 'onPass' | 'onBound'> {
  readonly config: OperatorConfig;
  readonly connection: Connection;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
  /** Told of the replica as soon as there is one. */
  readonly started: (replica: Replica) => void;
  /** Told of each call of a node's agent and how it ended. */
  readonly onCall: (method: string, code: string) => void;
}

/** Runs one replica of the operator of a cluster until the signal: reconcilers while it leads, the node agents' API always. */
export async function runCluster(options: ClusterOptions): Promise<void> {
  const { config, connection, clock, log, signal, onPass, onBound } = options;
  const { namespace } = config;
  const authority = await poolAuthority(options);
  if (authority === undefined) return;

  const common = { connection, clock, manager: MANAGER };
  const store = kubeStore<Kinds>({ ...common, resources: kindResources });
  const pods = kubeStore<PodKinds>({ ...common, resources: podResources });
  const requests = kubeStore<TicketRequestKinds>({ ...common, resources: ticketRequestResources });
  const leases = kubeStore<LeaseKinds>({ ...common, resources: agentLeases });
  const lease = leaseStore(connection, { namespace, name: config.leaseName });
  let replica: Replica | undefined;
  const lead = () => replica?.lead();
  const sessions = sessionClosings({ clock, nodesOf: (uid) => lead()?.operator.nodesOf(uid) ?? [] });
  const leader = leading({ lead, authority, closings: sessions.closings, clock, log });
  await using api = await nodeApi(options, { authority, pods, lease, leader });
  log.info('serving node agents', { port: api.port });
  replica = startReplica(
    {
      store,
      pods,
      ticketRequests: { store: requests, issuer: () => leader()?.issuer, ca: authority.caPem },
      lease,
      heartbeats: leaseHeartbeats({ store: leases, namespace, clock, log }),
      clock,
      log,
      sessions,
      identity: `${hostname()}_${randomUUID()}`,
      leaseDurationMs: config.leaseDuration.ms,
      agentGraceMs: config.agentGracePeriod.ms,
      releaseTimeoutMs: config.releaseTimeout.ms,
      ...(onPass === undefined ? {} : { onPass }),
      ...(onBound === undefined ? {} : { onBound }),
    },
    signal,
  );
  options.started(replica);
  await replica.ended;
}

/** The keys that all replicas share, and the certificate that agents know the operator by. */
function poolAuthority({ config, connection, clock, log, signal }: ClusterOptions): Promise<Authority | undefined> {
  const { namespace } = config;
  const open = async (): Promise<Authority> => {
    const authority = await openAuthority({ keys: secretTexts(connection, { namespace, prefix: 'aquifer' }), clock });
    await publishConfigMap(connection, { namespace, name: CA_CONFIG_MAP }, { 'ca.crt': authority.caPem });
    return authority;
  };
  return untilDone(open, { what: 'keys of the pool', clock, log, signal });
}

interface NodeApiParts {
  readonly authority: Authority;
  readonly pods: ReturnType<typeof kubeStore<PodKinds>>;
  readonly lease: ReturnType<typeof leaseStore>;
  readonly leader: ReturnType<typeof leading>;
}

function nodeApi({ config, connection, clock, log, onCall }: ClusterOptions, parts: NodeApiParts): Promise<RpcServer> {
  const { authority, pods, lease, leader } = parts;
  const { host, port } = config.nodeApiListen;
  const getPod = async (namespace: string, name: string) => {
    const pod = await pods.get('Pod', { namespace, name }).catch((error: unknown) => {
      if (isStoreError(error, 'Invalid')) return undefined; // What an agent asked for is no name.
      throw error;
    });
    return pod && podFacts(pod);
  };
  return renewedServer({
    identity: () => serverIdentity(authority, OPERATOR_NAME),
    serve: (tls) =>
      serveNodeApi({
        tls,
        clock,
        log,
        leader,
        address: hostPort(host, port),
        agents: new Set(config.nodeAgents),
        reviews: tokenReviews(connection, AUDIENCE),
        pods: { get: getPod },
        enrolments: enrolments(authority, lease),
        answered: onCall,
      }),
    clock,
    log,
  });
}
