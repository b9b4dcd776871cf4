import { expect, test } from '@jest/globals';
import { createMetrics } from '../metrics/registry.ts';
import type { Counters } from './ledger.ts';
import { backendMetrics, sessionCounts } from './metrics.ts';
import { createResumeAccount } from './resumes.ts';
import type { Session } from './session-registry.ts';
import type { ClaimAccount } from './usage.ts';

const GiB = 1024 ** 3;

const session = (id: string, claim: string, gpu = 'GPU-0'): Session => ({
  session: id,
  claim: { namespace: 'team-a', name: claim, uid: `uid of ${claim}` },
  vgpus: [{ index: 0, gpu, memoryBytes: 4 * GiB, computePercent: 25 }],
  startedAt: new Date(0),
  channel: 'tcp',
  peer: '',
  program: {},
});

const usage = (id: string, claim: string, memoryBytes: number, utilizationPercent: number) => ({
  session: id,
  claimUid: `uid of ${claim}`,
  gpu: 'GPU-0',
  memoryBytes,
  utilizationPercent,
  busyNs: 0n,
  launches: 0n,
});

const account = (claim: string, gpu = 'GPU-0', counted: Partial<Counters> = {}): ClaimAccount => ({
  claimUid: `uid of ${claim}`,
  gpu,
  limitBytes: 4 * GiB,
  computePercent: 25,
  counters: {
    busyNs: 0n,
    launches: 0n,
    bytesIn: 0n,
    bytesOut: 0n,
    roundTrips: 0n,
    faults: 0n,
    notSupportedCalls: 0n,
    ...counted,
  },
});

const claimsOf = (sessions: readonly Session[]) => sessions.map(({ claim }) => claim);

test('a claim counts once, with what all of its sessions use and did', async () => {
  const metrics = createMetrics();
  const gpu = { uuid: 'GPU-0', index: 0, model: 'x', memoryBytes: 7, computeCapability: '8.0', healthy: true };
  const sessions = [session('a', 'trainer'), session('b', 'trainer'), session('c', 'server', 'GPU-1')];
  const did = { busyNs: 2_500_000_000n, launches: 9n, bytesIn: 10n, bytesOut: 11n, roundTrips: 12n, faults: 1n };
  backendMetrics(metrics, 'gpu-1', () => ({
    gpus: () => [gpu, { ...gpu, uuid: 'GPU-1', healthy: false, reason: 'XID79' }],
    sessions: () => sessions,
    claims: () => claimsOf(sessions),
    usage: () => ({
      at: 0,
      sessions: [usage('a', 'trainer', 1000, 10), usage('b', 'trainer', 24, 12.5), usage('dead', 'trainer', 512, 50)],
      claims: [account('trainer', 'GPU-0', did), account('server', 'GPU-1'), account('one that nobody knows')],
    }),
    resumes: () => ({ resumed: 3, refused: 1, expired: 0 }),
  }));
  const text = await metrics.text();
  const trainer = '{namespace="team-a",claim="trainer",node="gpu-1",gpu="GPU-0"}';
  for (const line of [
    `aquifer_claim_sessions${trainer} 2`,
    `aquifer_claim_memory_granted_bytes${trainer} 4294967296`,
    `aquifer_claim_memory_used_bytes${trainer} 1024`,
    `aquifer_claim_compute_granted_ratio${trainer} 0.25`,
    `aquifer_claim_compute_used_ratio${trainer} 0.225`,
    `aquifer_claim_gpu_seconds_total${trainer} 2.5`,
    `aquifer_claim_launches_total${trainer} 9`,
    `aquifer_claim_copied_to_gpu_bytes_total${trainer} 10`,
    `aquifer_claim_copied_from_gpu_bytes_total${trainer} 11`,
    `aquifer_claim_round_trips_total${trainer} 12`,
    `aquifer_claim_faults_total${trainer} 1`,
    `aquifer_claim_unsupported_calls_total${trainer} 0`,
    'aquifer_claim_memory_used_bytes{namespace="team-a",claim="server",node="gpu-1",gpu="GPU-1"} 0',
    'aquifer_gpu_healthy{node="gpu-1",gpu="GPU-0",model="x",reason=""} 1',
    'aquifer_gpu_healthy{node="gpu-1",gpu="GPU-1",model="x",reason="XID79"} 0',
    'aquifer_gpu_memory_bytes{node="gpu-1",gpu="GPU-1"} 7',
    'aquifer_session_resumes_total{outcome="resumed"} 3',
    'aquifer_session_resumes_total{outcome="refused"} 1',
    'aquifer_session_resumes_total{outcome="expired"} 0',
  ])
    expect(text).toContain(`${line}\n`);
  expect(text.match(/^aquifer_claim_sessions[{]/gm)).toHaveLength(2);
});

test('a claim is told of as long as it has its account, with and without sessions', async () => {
  const metrics = createMetrics();
  let sessions = [session('a', 'trainer')];
  let accounts = [account('trainer', 'GPU-0', { launches: 7n })];
  backendMetrics(metrics, 'gpu-1', () => ({
    gpus: () => [],
    sessions: () => sessions,
    claims: () => claimsOf([session('a', 'trainer')]),
    usage: () => ({ at: 0, sessions: [usage('a', 'trainer', 1000, 10)], claims: accounts }),
    resumes: createResumeAccount().total,
  }));
  const launches = 'aquifer_claim_launches_total{namespace="team-a",claim="trainer",node="gpu-1",gpu="GPU-0"} 7\n';
  expect(await metrics.text()).toContain(launches);
  sessions = [];
  const idle = await metrics.text();
  expect(idle).toContain(launches);
  expect(idle).toMatch(/aquifer_claim_sessions[{].*claim="trainer".*[}] 0\n/);
  expect(idle).toMatch(/aquifer_claim_memory_used_bytes[{].*claim="trainer".*[}] 0\n/);
  accounts = [];
  expect(await metrics.text()).not.toContain('claim="trainer"');
});

test('sessions are counted as they begin and end, ends by their reason', async () => {
  const metrics = createMetrics();
  const count = sessionCounts(metrics);
  for (const reason of [undefined, 'Closed']) count(session('a', 'trainer'), reason);
  const text = await metrics.text();
  expect(text).toContain('aquifer_sessions_begun_total 1\n');
  expect(text).toContain('aquifer_sessions_ended_total{reason="Closed"} 1\n');
});
