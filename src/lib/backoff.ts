/** The delay before attempt `failures + 1`: doubles from `firstMs` up to `lastMs`. */
export function backoffMs(failures: number, firstMs: number, lastMs: number): number {
  return Math.min(lastMs, firstMs * 2 ** Math.min(failures, 30));
}
