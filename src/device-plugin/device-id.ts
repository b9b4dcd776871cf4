import { RpcError } from '../grpc/rpc-error.ts';

/**
 * Device IDs of one resource: a word and a number, `slot-7`. The number is nothing but the place in our own list; what a
 * device is good for is never read out of it.
 */
export interface DeviceIds {
  readonly idOf: (number: number) => string;
  /** @throws RpcError when it is no ID of this resource. */
  readonly numberOf: (id: string) => number;
}

export function deviceIds(word: string, limit: number): DeviceIds {
  const pattern = new RegExp(`^${word}-(0|[1-9][0-9]{0,5})$`);
  return {
    idOf: (number) => `${word}-${number}`,
    numberOf(id) {
      const number = Number(pattern.exec(id)?.[1] ?? NaN);
      if (number < limit) return number;
      throw new RpcError('INVALID_ARGUMENT', `${JSON.stringify(id.slice(0, 64))} is no ${word} of this node`);
    },
  };
}

/**
 * `size` of the available numbers, those that must be included first, then in rising order from `from` on and round to the
 * lowest. Fewer when there are not so many.
 */
export function pick(
  available: readonly number[],
  mustInclude: readonly number[],
  { size, from }: { readonly size: number; readonly from: number },
): readonly number[] {
  const rising = available.filter((number) => !mustInclude.includes(number)).toSorted((a, b) => a - b);
  const ordered = [...rising.filter((number) => number >= from), ...rising.filter((number) => number < from)];
  return [...mustInclude, ...ordered].slice(0, Math.max(0, size));
}
