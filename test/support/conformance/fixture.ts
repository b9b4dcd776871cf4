import { randomBytes } from 'node:crypto';
import { expect } from '@jest/globals';
import type { Kind, Kinds } from '../../../src/api/kinds.ts';
import { StoreError, type Store, type StoreErrorCode, type WatchEvent } from '../../../src/runtime/store.ts';

/** A store as the conformance suite needs it: of its own or shared, the suite keeps to names that nobody else has. */
export interface StoreUnderTest extends AsyncDisposable {
  readonly store: Store<Kinds>;
  /** Two namespaces that exist. */
  readonly namespaces: readonly [string, string];
  /** Makes every version up to now too old for a watch. */
  expireHistory(): Promise<void>;
}

export type MakeStore = () => Promise<StoreUnderTest>;

export const uniqueName = (prefix = 'c'): string => `${prefix}-${randomBytes(6).toString('hex')}`;

export const claimDraft = (namespace: string, overrides: { spec?: object; metadata?: object } = {}) => ({
  metadata: { name: uniqueName(), namespace, ...overrides.metadata },
  spec: { poolName: 'default', resources: { memory: '1Gi', compute: 10 }, ...overrides.spec },
});

export const poolDraft = (overrides: { spec?: object; metadata?: object } = {}) => ({
  metadata: { name: uniqueName('p'), ...overrides.metadata },
  spec: { ...overrides.spec },
});

/** The rejection of a promise, which must be a StoreError of that code. */
export async function refusal(promise: Promise<unknown>, code: StoreErrorCode): Promise<StoreError> {
  const outcome = await promise.then(
    () => 'it was accepted',
    (error: unknown) => error,
  );
  expect(outcome).toBeInstanceOf(StoreError);
  expect((outcome as StoreError).code).toBe(code);
  return outcome as StoreError;
}

/** Reads a watch until `count` events that are no bookmarks have come. */
export async function take<T>(events: AsyncIterable<WatchEvent<T>>, count: number): Promise<WatchEvent<T>[]> {
  const taken: WatchEvent<T>[] = [];
  if (count === 0) return taken;
  for await (const event of events) {
    if (event.type !== 'BOOKMARK') taken.push(event);
    if (taken.length === count) break;
  }
  return taken;
}

export const summary = (event: WatchEvent<Kinds[Kind]>): string =>
  event.type === 'BOOKMARK' ? 'BOOKMARK' : `${event.type} ${event.object.metadata.name}`;

export const keyOf = ({ metadata: { namespace, name } }: { metadata: { namespace?: string; name: string } }) =>
  namespace === undefined ? { name } : { namespace, name };

/** A signal that is given when the test is over, so that no watch outlives it. */
export function stopper(): Disposable & { readonly signal: AbortSignal } {
  const controller = new AbortController();
  return { signal: controller.signal, [Symbol.dispose]: () => controller.abort() };
}
