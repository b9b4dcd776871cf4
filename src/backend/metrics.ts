import type { Metrics } from '../metrics/registry.ts';
import type { Backend } from './backend.ts';
import type { Session, SessionListener } from './session-registry.ts';
import { claimUsage } from './usage.ts';

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

/** What a claim has and uses of one GPU, over all its sessions. */
interface ClaimOnGpu {
  readonly labels: { readonly namespace: string; readonly claim: string; readonly gpu: string };
  readonly sessions: number;
  readonly memoryBytes: number;
  readonly computePercent: number;
  readonly usedBytes: number;
  readonly utilizationPercent: number;
}

/** What is read from the backend whenever somebody asks. */
export function backendGauges(
  metrics: Metrics,
  backend: () => Pick<Backend, 'gpus' | 'sessions' | 'usage'> | undefined,
) {
  const claims = metrics.shared(() => claimsOf(backend()));
  const gauge = (name: `aquifer_claim_${string}`, help: string, value: (claim: ClaimOnGpu) => number): void =>
    metrics.gauge({ name, help, labels: ['namespace', 'claim', 'gpu'] }, () =>
      claims().map((claim) => [claim.labels, value(claim)]),
    );
  gauge('aquifer_claim_sessions', 'Sessions of a claim on a GPU of this node.', ({ sessions }) => sessions);
  gauge('aquifer_claim_memory_granted_bytes', 'Memory that a claim has of a GPU.', ({ memoryBytes }) => memoryBytes);
  gauge('aquifer_claim_memory_used_bytes', 'Memory that the sessions of a claim hold.', ({ usedBytes }) => usedBytes);
  gauge(
    'aquifer_claim_compute_granted_ratio',
    "The share of a GPU's time that a claim has.",
    ({ computePercent }) => computePercent / 100,
  );
  gauge(
    'aquifer_claim_compute_used_ratio',
    "The share of a GPU's time that the sessions of a claim took, over the last one to two seconds.",
    ({ utilizationPercent }) => utilizationPercent / 100,
  );
  metrics.gauge(
    { name: 'aquifer_gpu_healthy', help: 'Whether claims may be placed on a GPU: 1 or 0.', labels: ['gpu', 'reason'] },
    () => (backend()?.gpus() ?? []).map(({ uuid, healthy, reason = '' }) => [{ gpu: uuid, reason }, Number(healthy)]),
  );
}

function claimsOf(backend: Pick<Backend, 'sessions' | 'usage'> | undefined): readonly ClaimOnGpu[] {
  if (backend === undefined) return [];
  const usage = backend.usage();
  const shares = new Map<
    string,
    { readonly session: Session; readonly vgpu: Session['vgpus'][number]; count: number }
  >();
  for (const session of backend.sessions()) {
    for (const vgpu of session.vgpus) {
      const place = `${session.claim.uid} ${vgpu.gpu}`;
      shares.set(place, { session, vgpu, count: (shares.get(place)?.count ?? 0) + 1 });
    }
  }
  return [...shares.values()].map(({ session: { claim }, vgpu, count }) => ({
    labels: { namespace: claim.namespace, claim: claim.name, gpu: vgpu.gpu },
    sessions: count,
    memoryBytes: vgpu.memoryBytes,
    computePercent: vgpu.computePercent,
    ...claimUsage(usage, claim.uid, vgpu.gpu),
  }));
}
