import type { Labels, Metrics, Sample } from '../metrics/registry.ts';
import type { Backend } from './backend.ts';
import type { Counters } from './ledger.ts';
import { RESUME_OUTCOMES } from './resumes.ts';
import type { SessionListener } from './session-registry.ts';
import { claimUsage, type ClaimAccount } from './usage.ts';

/** Counts how requests for tickets of slots end. */
export function ticketCounts(metrics: Metrics): (outcome: string) => void {
  const counted = metrics.counter({
    name: 'aquifer_slot_tickets_total',
    help: 'Requests of the connector for the ticket of a slot: Issued, or the reason why not.',
    labels: ['outcome'],
  });
  return (outcome) => counted({ outcome });
}

/** Counts sessions as they begin and end. */
export function sessionCounts(metrics: Metrics): SessionListener {
  const begun = metrics.counter({
    name: 'aquifer_sessions_begun_total',
    help: 'Sessions that have begun on this node.',
  });
  const ended = metrics.counter({
    name: 'aquifer_sessions_ended_total',
    help: 'Sessions of this node that have ended, by why.',
    labels: ['reason'],
  });
  return (_, reason) => (reason === undefined ? begun({}) : ended({ reason }));
}

const CLAIM_LABELS = ['namespace', 'claim', 'node', 'gpu'] as const;
type ClaimLabel = (typeof CLAIM_LABELS)[number];

/** What a claim has and uses of one GPU, over all its sessions. */
interface ClaimOnGpu {
  readonly labels: Labels<ClaimLabel>;
  readonly sessions: number;
  readonly account: ClaimAccount;
  readonly usedBytes: number;
  readonly utilizationPercent: number;
}

type MeteredBackend = Pick<Backend, 'gpus' | 'sessions' | 'claims' | 'usage' | 'resumes'>;

/** What is read from the backend of `node` whenever somebody asks. */
export function backendMetrics(metrics: Metrics, node: string, backend: () => MeteredBackend | undefined): void {
  const claims = metrics.shared(() => claimsOf(node, backend()));
  const samples = (value: (claim: ClaimOnGpu) => number) => (): Sample<ClaimLabel>[] =>
    claims().map((claim) => [claim.labels, value(claim)]);
  claimGauges(metrics, samples);
  claimCounters(metrics, samples);
  metrics.readCounter(
    {
      name: 'aquifer_session_resumes_total',
      help: 'Attempts to go on with a session over another connection, by how they ended: resumed, refused, or expired where nobody came within the grace period.',
      labels: ['outcome'],
    },
    () => {
      const counts = backend()?.resumes();
      return counts === undefined ? [] : RESUME_OUTCOMES.map((outcome) => [{ outcome }, counts[outcome]] as const);
    },
  );
  metrics.gauge(
    {
      name: 'aquifer_gpu_healthy',
      help: 'Whether claims may be placed on a GPU: 1 or 0.',
      labels: ['node', 'gpu', 'model', 'reason'],
    },
    () =>
      (backend()?.gpus() ?? []).map(({ uuid, model, healthy, reason = '' }) => [
        { node, gpu: uuid, model, reason },
        Number(healthy),
      ]),
  );
  metrics.gauge({ name: 'aquifer_gpu_memory_bytes', help: 'Memory that a GPU has.', labels: ['node', 'gpu'] }, () =>
    (backend()?.gpus() ?? []).map(({ uuid, memoryBytes }) => [{ node, gpu: uuid }, memoryBytes]),
  );
}

type SamplesOf = (value: (claim: ClaimOnGpu) => number) => () => readonly Sample<ClaimLabel>[];

function claimGauges(metrics: Metrics, samples: SamplesOf): void {
  const gauge = (name: `aquifer_claim_${string}`, help: string, value: (claim: ClaimOnGpu) => number): void =>
    metrics.gauge({ name, help, labels: CLAIM_LABELS }, samples(value));
  gauge('aquifer_claim_sessions', 'Sessions of a claim on a GPU of this node.', ({ sessions }) => sessions);
  gauge('aquifer_claim_memory_granted_bytes', 'Memory that a claim has of a GPU.', ({ account }) => account.limitBytes);
  gauge('aquifer_claim_memory_used_bytes', 'Memory that the sessions of a claim hold.', ({ usedBytes }) => usedBytes);
  gauge(
    'aquifer_claim_compute_granted_ratio',
    "The share of a GPU's time that a claim has.",
    ({ account }) => account.computePercent / 100,
  );
  gauge(
    'aquifer_claim_compute_used_ratio',
    "The share of a GPU's time that the sessions of a claim took, over the last one to two seconds.",
    ({ utilizationPercent }) => utilizationPercent / 100,
  );
}

/** What all sessions of a claim did, those that have ended among them. */
function claimCounters(metrics: Metrics, samples: SamplesOf): void {
  const counter = (
    name: `aquifer_claim_${string}_total`,
    help: string,
    of: keyof Counters,
    perUnit: number = 1,
  ): void =>
    metrics.readCounter(
      { name, help, labels: CLAIM_LABELS },
      samples(({ account }) => Number(account.counters[of]) / perUnit),
    );
  counter(
    'aquifer_claim_gpu_seconds_total',
    'Time in which a GPU ran the kernels of a claim, in seconds.',
    'busyNs',
    1e9,
  );
  counter('aquifer_claim_launches_total', 'Kernels that the programs of a claim launched.', 'launches');
  counter('aquifer_claim_copied_to_gpu_bytes_total', 'Bytes that the programs of a claim copied to a GPU.', 'bytesIn');
  counter(
    'aquifer_claim_copied_from_gpu_bytes_total',
    'Bytes that the programs of a claim copied from a GPU.',
    'bytesOut',
  );
  counter('aquifer_claim_round_trips_total', 'Calls for whose answers the programs of a claim waited.', 'roundTrips');
  counter('aquifer_claim_faults_total', 'Errors of the driver that made a context of a claim unusable.', 'faults');
  counter(
    'aquifer_claim_unsupported_calls_total',
    'Calls of the programs of a claim that Aquifer does not forward.',
    'notSupportedCalls',
  );
}

function claimsOf(
  node: string,
  backend: Pick<MeteredBackend, 'sessions' | 'claims' | 'usage'> | undefined,
): readonly ClaimOnGpu[] {
  if (backend === undefined) return [];
  const [usage, sessions] = [backend.usage(), backend.sessions()];
  const names = new Map(backend.claims().map((claim) => [claim.uid, claim]));
  const living = new Set(sessions.map(({ session }) => session));
  // A worker that was killed has its row until the next one of its claim looks after it.
  const inWork = { ...usage, sessions: usage.sessions.filter(({ session }) => living.has(session)) };
  return usage.claims.flatMap((account) => {
    const { claimUid, gpu } = account;
    const claim = names.get(claimUid);
    if (claim === undefined) return [];
    const own = sessions.filter(({ claim: of, vgpus }) => of.uid === claimUid && vgpus.some((it) => it.gpu === gpu));
    const labels = { namespace: claim.namespace, claim: claim.name, node, gpu };
    return [{ labels, account, sessions: own.length, ...claimUsage(inWork, claimUid, gpu) }];
  });
}
