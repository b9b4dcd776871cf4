/** One measured figure. Times are ns (ms in the suites claims and pods); `value` is a rate or a size. */
export interface BenchResult {
  readonly name: string;
  readonly unit: string;
  readonly p50?: number;
  readonly p99?: number;
  readonly value?: number;
  readonly samples?: number;
  /** What was measured beside it in the same run, in words. */
  readonly reference?: string;
  /** Our cost ÷ the reference's cost: 1 is as good as raw, lower is better. */
  readonly ratio?: number;
}

/** A figure that a suite must reach; `limit` bounds the named field from the side that `is` says. */
export interface Goal {
  readonly field: 'p50' | 'p99' | 'value' | 'ratio';
  readonly is: 'at most' | 'at least';
  readonly limit: number;
}

/** A figure that is missing does not meet its goal. */
export function meets(result: BenchResult, goal: Goal): boolean {
  const figure = result[goal.field];
  if (figure === undefined || !Number.isFinite(figure)) return false;
  return goal.is === 'at most' ? figure <= goal.limit : figure >= goal.limit;
}

/** The p-th percentile (0 ≤ p ≤ 100) by nearest rank. Throws RangeError on an empty sample. */
export function percentile(samples: readonly number[], p: number): number {
  if (samples.length === 0) throw new RangeError('no samples');
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil((p / 100) * sorted.length) - 1)] as number;
}
