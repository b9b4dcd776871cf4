/**
 * Quantities of bytes, written as Kubernetes writes them: `8Gi`, `512Mi`, `1.5Gi`, `4G` or plain bytes.
 * Thousandths (`m`), exponents (`1e9`) and signs mean nothing for device memory and are not accepted.
 */
export const QUANTITY_PATTERN = '^[0-9]{1,16}([.][0-9]{1,9})?(Ki|Mi|Gi|Ti|Pi|k|M|G|T|P)?$';

const QUANTITY = /^([0-9]{1,16})(?:[.]([0-9]{1,9}))?(Ki|Mi|Gi|Ti|Pi|k|M|G|T|P)?$/;

const BINARY_SUFFIXES = [
  ['Pi', 2n ** 50n],
  ['Ti', 2n ** 40n],
  ['Gi', 2n ** 30n],
  ['Mi', 2n ** 20n],
  ['Ki', 2n ** 10n],
] as const;

const FACTORS: ReadonlyMap<string, bigint> = new Map<string, bigint>([
  ...BINARY_SUFFIXES,
  ['P', 10n ** 15n],
  ['T', 10n ** 12n],
  ['G', 10n ** 9n],
  ['M', 10n ** 6n],
  ['k', 10n ** 3n],
]);

/** Quantities end below 8Pi, where a number stops to count single bytes. */
export const QUANTITY_LIMIT = '8Pi';

/**
 * The bytes that a quantity stands for, a fraction of a byte rounded up as Kubernetes does; undefined if the text is no
 * quantity or is not below `QUANTITY_LIMIT`.
 */
export function parseQuantity(text: string): number | undefined {
  const match = QUANTITY.exec(text);
  if (match === null) return undefined;
  const [, whole = '0', fraction = '', suffix] = match;
  const factor = suffix === undefined ? 1n : (FACTORS.get(suffix) ?? 1n);
  const denominator = 10n ** BigInt(fraction.length);
  const numerator = BigInt(whole + fraction) * factor;
  const bytes = Number((numerator + denominator - 1n) / denominator);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/**
 * The bytes of a quantity that was validated before.
 * @throws RangeError if it is none: that is a bug of the caller.
 */
export function bytesOf(text: string): number {
  const bytes = parseQuantity(text);
  if (bytes === undefined) throw new RangeError(`not a quantity of bytes: ${JSON.stringify(text)}`);
  return bytes;
}

/** Writes bytes with the largest binary suffix that loses nothing: `bytesOf(formatBytes(n)) === n`. */
export function formatBytes(bytes: number): string {
  if (!Number.isSafeInteger(bytes) || bytes < 0) throw new RangeError(`not a count of bytes: ${bytes}`);
  if (bytes === 0) return '0';
  const exact = BigInt(bytes);
  for (const [suffix, factor] of BINARY_SUFFIXES) {
    if (exact % factor === 0n) return `${exact / factor}${suffix}`;
  }
  return exact.toString();
}
