import { setTimeout as sleep } from 'node:timers/promises';
import { startBenchOperator, startClaimCluster, writesBesidesLeases, type ClaimCluster } from './claim-cluster.ts';
import { apply, applyAtRate, writeAll } from './claim-writers.ts';
import { percentile, type BenchResult } from './result.ts';

const WARM_UP = 100;
const ROUNDS = 10;
const CLAIMS_PER_ROUND = 1000;
const AT_TEN = 300;
const AT_HALF = 1000;
const COMPARED_ROUNDS = 3;
const SETTLE_MS = 5000;
const IDLE_MS = 30_000;

/** Milliseconds that a round took with the operator and with a client that decides nothing. */
interface Round {
  readonly oursMs: number;
  readonly rawMs: number;
}

/** Rounds alternate between two API servers, so that both grow alike and what else the machine does hits both. */
async function bindAll(ours: ClaimCluster, raw: ClaimCluster): Promise<readonly Round[]> {
  await apply(ours, names('warm-up', WARM_UP));
  await writeAll(raw, names('warm-up', WARM_UP));
  const rounds: Round[] = [];
  while (rounds.length < ROUNDS) {
    const claims = names(`round-${rounds.length}`, CLAIMS_PER_ROUND);
    rounds.push({ oursMs: await apply(ours, claims), rawMs: await writeAll(raw, claims) });
    const { oursMs = NaN, rawMs = NaN } = rounds.at(-1) ?? {};
    console.error(`  ${rounds.length * CLAIMS_PER_ROUND} claims: ${oursMs.toFixed(0)} ms, raw ${rawMs.toFixed(0)} ms`);
  }
  return rounds;
}

export async function measure(resources: AsyncDisposableStack): Promise<readonly BenchResult[]> {
  const ours = resources.use(await startClaimCluster());
  const raw = resources.use(await startClaimCluster());
  resources.use(await startBenchOperator(ours));
  const rounds = await bindAll(ours, raw);
  const rawPerSecond =
    CLAIMS_PER_ROUND /
    (percentile(
      rounds.map(({ rawMs }) => rawMs),
      50,
    ) /
      1000);
  const atHalf = await applyAtRate(ours, names('half', AT_HALF), rawPerSecond / 2);
  const atTen = await applyAtRate(ours, names('ten', AT_TEN), 10);
  await sleep(SETTLE_MS);
  const writes = await writesBesidesLeases(ours);
  await sleep(IDLE_MS);
  return [
    latency('bind-10ps', atTen, '10 claims a second'),
    latency(
      'bind-half-raw',
      atHalf,
      `${(rawPerSecond / 2).toFixed(1)} claims a second, half of what the client of bind-10k reached`,
    ),
    ...throughput(rounds),
    {
      name: 'idle-writes',
      unit: 'writes',
      value: (await writesBesidesLeases(ours)) - writes,
      reference: `what the API server counted in ${IDLE_MS / 1000} s in which nobody asked for anything, Leases left out`,
    },
  ];
}

const latency = (name: string, samples: readonly number[], load: string): BenchResult => ({
  name,
  unit: 'ms',
  p50: percentile(samples, 50),
  p99: percentile(samples, 99),
  samples: samples.length,
  reference: `from when a claim was due to be applied until a watch showed it Bound, with 10,000 bound before: ${load}`,
});

function throughput(rounds: readonly Round[]): readonly BenchResult[] {
  const perClaim = rounds.map(({ oursMs }) => oursMs / CLAIMS_PER_ROUND);
  const growth = (of: (round: Round) => number): number =>
    median(rounds.slice(-COMPARED_ROUNDS).map(of)) / median(rounds.slice(0, COMPARED_ROUNDS).map(of));
  const rawGrowth = growth(({ rawMs }) => rawMs);
  return [
    {
      name: 'bind-10k',
      unit: 'ms',
      p50: median(perClaim),
      p99: percentile(perClaim, 99),
      value: 1000 / median(perClaim),
      samples: rounds.length,
      reference:
        'a client that decides nothing makes the same writes (claim, finalizer, status, event) to an API server of its own, in rounds that alternate; milliseconds a claim, median of the ratios',
      ratio: median(rounds.map(({ oursMs, rawMs }) => oursMs / rawMs)),
    },
    {
      name: 'bind-10k.growth',
      unit: 'ms',
      p50: median(perClaim.slice(-COMPARED_ROUNDS)),
      samples: COMPARED_ROUNDS,
      reference: `the first ${COMPARED_ROUNDS} rounds of 1,000 claims, beside the last ${COMPARED_ROUNDS}; the client that decides nothing grew by ${rawGrowth.toFixed(2)}, which is taken out`,
      ratio: growth(({ oursMs }) => oursMs) / rawGrowth,
    },
  ];
}

const median = (samples: readonly number[]): number => percentile(samples, 50);

const names = (prefix: string, count: number): string[] => Array.from({ length: count }, (_, i) => `${prefix}-${i}`);
