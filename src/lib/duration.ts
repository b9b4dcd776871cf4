const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Milliseconds of a duration such as `90s`, `10m` or `1h30m`; plain `0` counts too. Undefined if the text is none. */
export function parseDuration(text: string): number | undefined {
  if (text === '0') return 0;
  if (!/^([0-9]+(ms|s|m|h|d))+$/.test(text)) return undefined;
  const parts = [...text.matchAll(/([0-9]+)(ms|[smhd])/g)];
  const ms = parts.reduce((sum, [, count, unit]) => sum + Number(count) * (UNITS[unit ?? ''] ?? 0), 0);
  return Number.isSafeInteger(ms) ? ms : undefined;
}

// From which age on: in which units, as kubectl shows it (k8s.io/apimachinery duration.HumanDuration).
const AGES: readonly (readonly [belowMs: number, first: string, second?: string])[] = [
  [2 * 60_000, 's'],
  [10 * 60_000, 'm', 's'],
  [3 * 3_600_000, 'm'],
  [8 * 3_600_000, 'h', 'm'],
  [48 * 3_600_000, 'h'],
  [8 * 86_400_000, 'd', 'h'],
  [Infinity, 'd'],
];

/** A time span the short way: `45s`, `5m30s`, `3h20m`, `12d`. What is less than nothing is `0s`. */
export function formatAge(ms: number): string {
  const age = Math.max(0, ms);
  const [, first = 'd', second] = AGES.find(([below]) => age < below) ?? [];
  const unit = UNITS[first] ?? 1;
  const whole = Math.floor(age / unit);
  if (second === undefined) return `${whole}${first}`;
  const rest = Math.floor((age - whole * unit) / (UNITS[second] ?? 1));
  return rest === 0 ? `${whole}${first}` : `${whole}${first}${rest}${second}`;
}
