import { jsonEqual } from '../lib/json-equal.ts';
import type { MergePatch } from '../runtime/store.ts';

/**
 * A patch of the status fields that differ; `undefined` if none does, and then nothing is to be written. Fields that
 * `next` does not name are left alone; one that is named and undefined is removed.
 */
export function statusPatch(
  current: Readonly<Record<string, unknown>> | undefined,
  next: Readonly<Record<string, unknown>>,
): MergePatch | undefined {
  const changed = Object.entries(next).filter(([field, value]) => !jsonEqual(current?.[field], value));
  if (changed.length === 0) return undefined;
  return { status: Object.fromEntries(changed.map(([field, value]) => [field, value ?? null])) };
}
