export interface BackoffOptions {
  /** Delay after the first failure. @default 50 */
  readonly baseMs?: number;
  /** No delay is longer. @default 30_000 */
  readonly capMs?: number;
}

/** The delay after the n-th failure in a row (n ≥ 1): doubled each time, up to the cap. */
export function backoffMs(failures: number, { baseMs = 50, capMs = 30_000 }: BackoffOptions = {}): number {
  return Math.min(capMs, baseMs * 2 ** Math.max(0, failures - 1));
}
