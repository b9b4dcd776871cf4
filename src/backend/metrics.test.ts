import { expect, test } from '@jest/globals';
import { createMetrics } from '../metrics/registry.ts';
import { backendGauges, sessionCounts } from './metrics.ts';
import type { Session } from './session-registry.ts';

const session = (id: string, claim: string, gpu = 'GPU-0'): Session => ({
  session: id,
  claim: { namespace: 'team-a', name: claim, uid: `uid of ${claim}` },
  vgpus: [{ index: 0, gpu, memoryBytes: 4 * 1024 ** 3, computePercent: 25 }],
  startedAt: new Date(0),
  transport: 'tls',
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

test('a claim counts once, with what all of its sessions use', async () => {
  const metrics = createMetrics();
  const gpu = { uuid: 'GPU-0', index: 0, model: 'x', memoryBytes: 1, computeCapability: '8.0', healthy: true };
  backendGauges(metrics, () => ({
    gpus: () => [gpu, { ...gpu, uuid: 'GPU-1', healthy: false, reason: 'XID79' }],
    sessions: () => [session('a', 'trainer'), session('b', 'trainer'), session('c', 'server', 'GPU-1')],
    usage: () => ({ at: 0, sessions: [usage('a', 'trainer', 1000, 10), usage('b', 'trainer', 24, 12.5)] }),
  }));
  const text = await metrics.text();
  const trainer = '{namespace="team-a",claim="trainer",gpu="GPU-0"}';
  for (const line of [
    `aquifer_claim_sessions${trainer} 2`,
    `aquifer_claim_memory_granted_bytes${trainer} 4294967296`,
    `aquifer_claim_memory_used_bytes${trainer} 1024`,
    `aquifer_claim_compute_granted_ratio${trainer} 0.25`,
    `aquifer_claim_compute_used_ratio${trainer} 0.225`,
    'aquifer_claim_memory_used_bytes{namespace="team-a",claim="server",gpu="GPU-1"} 0',
    'aquifer_gpu_healthy{gpu="GPU-0",reason=""} 1',
    'aquifer_gpu_healthy{gpu="GPU-1",reason="XID79"} 0',
  ])
    expect(text).toContain(`${line}\n`);
});

test('what has gone is not told any more, and ends are counted by their reason', async () => {
  const metrics = createMetrics();
  let sessions = [session('a', 'trainer')];
  backendGauges(metrics, () => ({ gpus: () => [], sessions: () => sessions, usage: () => ({ at: 0, sessions: [] }) }));
  const count = sessionCounts(metrics);
  for (const reason of [undefined, 'Closed']) for (const each of sessions) count(each, reason);
  expect(await metrics.text()).toContain('claim="trainer"');
  sessions = [];
  const text = await metrics.text();
  expect(text).not.toContain('claim="trainer"');
  expect(text).toContain('aquifer_sessions_begun_total 1\n');
  expect(text).toContain('aquifer_sessions_ended_total{reason="Closed"} 1\n');
});
