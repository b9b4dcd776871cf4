import type { Goal } from './result.ts';

const atMost = (field: Goal['field'], limit: number): Goal => ({ field, is: 'at most', limit });
const atLeast = (field: Goal['field'], limit: number): Goal => ({ field, is: 'at least', limit });
const MIB = 1024 * 1024;

/** The same for both ways from a guest to its host. */
const overBoth = (name: string, ratio: number): Record<string, readonly Goal[]> =>
  Object.fromEntries(['tap', 'vsock'].map((channel) => [`${name}.${channel}`, [atMost('ratio', ratio)]]));

/** What each suite aims at, by result name; a result without a goal is printed without a verdict. */
export const goals: Readonly<Record<string, Readonly<Record<string, readonly Goal[]>>>> = {
  dataplane: {
    'launch-enqueue.unix': [atMost('p50', 200)],
    'launch-enqueue.tls': [atMost('p50', 200)],
    'launch-rate.unix': [atLeast('value', 3e6)],
    'launch-rate.tls': [atMost('ratio', 2)],
    'token.unix': [atMost('ratio', 2)],
    'token.tls': [atMost('ratio', 2)],
    'synchronize.unix': [atMost('ratio', 1.25)],
    'synchronize.tls': [atMost('ratio', 1.25)],
    'alloc-free.unix': [atMost('p50', 500)],
    'alloc-free.tls': [atMost('p50', 500)],
    'copy-h2d-64m.unix': [atMost('ratio', 1.25)],
    'copy-d2h-64m.unix': [atMost('ratio', 1.25)],
    'copy-h2d-64m.tls': [atMost('ratio', 1.25)],
    'copy-d2h-64m.tls': [atMost('ratio', 1.25)],
    'session-open.unix': [atMost('p50', 20e6)],
    'session-open.tls': [atMost('p50', 20e6)],
  },
  softgpu: {
    matmul: [atMost('ratio', 8)],
    histogram: [atMost('ratio', 12)],
    'lane-instruction': [atMost('p50', 0.7)],
  },
  // Errors in points of the device's busy time: p50 is the median, value the worst.
  shares: {
    '10-30-60': [atMost('p50', 2), atMost('value', 6)],
    'lone-25': [atMost('p50', 2), atMost('value', 6)],
  },
  allocator: { 'decide-1k-gpus-10k-claims': [atLeast('value', 20_000), atMost('p99', 1e6)] },
  claims: {
    'bind-10ps': [atMost('p99', 250)],
    'bind-half-raw': [atMost('p99', 500)],
    'bind-10k': [atMost('ratio', 1.25)],
    'bind-10k.growth': [atMost('ratio', 1.25)],
    'idle-writes': [atMost('value', 0)],
  },
  pods: {
    'start-overhead': [atMost('p50', 300)],
    'burst-60': [atMost('ratio', 1.25)],
    'plugin-start': [atMost('p50', 500)],
  },
  guest: {
    ...overBoth('launch-enqueue', 1.25),
    ...overBoth('synchronize', 1.5),
    ...overBoth('copy-h2d-64m', 1.25),
    ...overBoth('copy-d2h-64m', 1.25),
    'nested-over-root': [atMost('ratio', 1.1)],
    // Without what the guest stands still for, and a round trip.
    'migration-pause': [atMost('p50', 300)],
    'container-start.emulated': [atMost('p50', 500)],
    'container-start.kvm': [atMost('p50', 100)],
  },
  memory: {
    serve: [atMost('value', 128 * MIB)],
    worker: [atMost('value', 12 * MIB)],
    connector: [atMost('value', 8 * MIB)],
    'device-plugin': [atMost('value', 80 * MIB)],
    'operator-10k-claims': [atMost('value', 256 * MIB)],
  },
};
