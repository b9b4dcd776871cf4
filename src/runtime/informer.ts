import type { Clock } from '../lib/clock.ts';
import { deepFreeze } from '../lib/deep-freeze.ts';
import type { Log } from '../lib/log.ts';
import { backoffMs } from './backoff.ts';
import { sleep } from './sleep.ts';
import { isStoreError, keyOf, keyText, type ApiObject, type Kind, type KindTable, type Store } from './store.ts';

/** An object before and after; without `before` it is new, without `after` it is gone. */
export interface Change<T> {
  readonly key: string;
  readonly before?: T | undefined;
  readonly after?: T | undefined;
}

export interface InformerOptions<Kinds extends KindTable<Kinds>, K extends Kind<Kinds>> {
  readonly store: Pick<Store<Kinds>, 'list' | 'watch'>;
  readonly kind: K;
  readonly clock: Clock;
  readonly log: Log;
}

const SHORT_WATCH_MS = 1000; // A watch that ends sooner counts as a failure: else a broken server is asked in a hot loop.

/**
 * A copy of all objects of one kind that follows the store. Objects in it are frozen and arrive in the order of their
 * writes; an object that was missed while the connection was down arrives as the difference to a new list.
 */
export class Informer<Kinds extends KindTable<Kinds>, K extends Kind<Kinds>> {
  readonly #options: InformerOptions<Kinds, K>;
  readonly #objects = new Map<string, Kinds[K]>();
  readonly #handlers = new Set<(change: Change<Kinds[K]>) => void>();
  readonly #synced = Promise.withResolvers<void>();

  constructor(options: InformerOptions<Kinds, K>) {
    this.#options = options;
  }

  /** Resolves when the first list is in. */
  get synced(): Promise<void> {
    return this.#synced.promise;
  }

  /** `key` as `keyText` writes it. */
  get(key: string): Kinds[K] | undefined {
    return this.#objects.get(key);
  }

  list(): Kinds[K][] {
    return [...this.#objects.values()];
  }

  /** Called after the copy has changed, in the order of registration. */
  onChange(handler: (change: Change<Kinds[K]>) => void): Disposable {
    this.#handlers.add(handler);
    return { [Symbol.dispose]: () => this.#handlers.delete(handler) };
  }

  /** Follows the store until the signal, whatever happens to the connection. */
  async run(signal: AbortSignal): Promise<void> {
    const { kind, clock, log } = this.#options;
    let failures = 0;
    let version: string | undefined;
    while (!signal.aborted) {
      const started = clock.now().getTime();
      let err: unknown;
      try {
        version ??= await this.#relist();
        version = await this.#watch(version, signal);
      } catch (error) {
        version = undefined;
        err = error;
      }
      if (signal.aborted) return;
      const lasted = clock.now().getTime() - started >= SHORT_WATCH_MS;
      failures = lasted ? 0 : failures + 1;
      if (err !== undefined && !isStoreError(err, 'Expired')) log.warn('watch failed', { kind, failures, err });
      if (!lasted) await sleep(clock, backoffMs(failures), signal);
    }
  }

  async #relist(): Promise<string> {
    const { store, kind } = this.#options;
    const { items, resourceVersion } = await store.list(kind);
    const listed = new Map(items.map((object) => [keyText(keyOf(object)), object]));
    for (const key of this.#objects.keys()) if (!listed.has(key)) this.#replace(key, undefined);
    for (const [key, object] of listed) this.#replace(key, object);
    this.#synced.resolve();
    return resourceVersion;
  }

  async #watch(resourceVersion: string, signal: AbortSignal): Promise<string> {
    const { store, kind } = this.#options;
    let version = resourceVersion;
    for await (const event of store.watch(kind, { resourceVersion, signal })) {
      if (event.type !== 'BOOKMARK') {
        this.#replace(keyText(keyOf(event.object)), event.type === 'DELETED' ? undefined : event.object);
      }
      version = event.object.metadata.resourceVersion ?? version;
    }
    return version;
  }

  #replace(key: string, next: Kinds[K] | undefined): void {
    const before = this.#objects.get(key);
    if (before !== undefined && next !== undefined && sameVersion(before, next)) return;
    if (before === undefined && next === undefined) return;
    const after = next === undefined ? undefined : deepFreeze(next);
    if (after === undefined) this.#objects.delete(key);
    else this.#objects.set(key, after);
    for (const handler of this.#handlers) handler({ key, before, after });
  }
}

const sameVersion = (a: ApiObject, b: ApiObject): boolean =>
  a.metadata.uid === b.metadata.uid && a.metadata.resourceVersion === b.metadata.resourceVersion;
