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
  /** @default all */
  readonly namespace?: string;
  readonly clock: Clock;
  readonly log: Log;
}

/** How a copy follows the store, for metrics and health. */
export interface InformerStats {
  readonly objects: number;
  /** How often everything was listed, and how often a list or a watch failed. */
  readonly lists: number;
  readonly failures: number;
  /** False from a failure on until the next list or event. */
  readonly following: boolean;
}

const SHORT_WATCH_MS = 1000; // A watch that ends sooner counts as a failure: else a broken server is asked in a hot loop.
const RESUME_MS = 60_000; // A store that was away for longer may have come back with another past, such as a backup.

/**
 * A copy of all objects of one kind that follows the store. Objects in it are frozen and arrive in the order of their
 * writes; an object that was missed while the connection was down arrives as the difference to a new list.
 */
export class Informer<Kinds extends KindTable<Kinds>, K extends Kind<Kinds>> {
  readonly #options: InformerOptions<Kinds, K>;
  readonly #objects = new Map<string, Kinds[K]>();
  readonly #handlers = new Set<(change: Change<Kinds[K]>) => void>();
  readonly #synced = Promise.withResolvers<void>();
  #stats = { lists: 0, failures: 0, following: false };
  /** How far the copy has come; undefined: everything must be listed. */
  #version: string | undefined;

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

  get stats(): InformerStats {
    return { objects: this.#objects.size, ...this.#stats };
  }

  /**
   * Follows the store until the signal, whatever happens to the connection: goes on from where it was, or lists anew
   * when the store no longer knows that version or was away for long.
   */
  async run(signal: AbortSignal): Promise<void> {
    const { kind, clock, log } = this.#options;
    let shortOnes = 0;
    let followedMs = clock.now().getTime();
    while (!signal.aborted) {
      const startedMs = clock.now().getTime();
      if (startedMs - followedMs > RESUME_MS) this.#version = undefined;
      const err = await this.#follow(signal);
      if (signal.aborted) return;
      const nowMs = clock.now().getTime();
      if (this.#stats.following) followedMs = nowMs;
      shortOnes = nowMs - startedMs >= SHORT_WATCH_MS ? 0 : shortOnes + 1;
      if (err !== undefined && !isStoreError(err, 'Expired')) {
        this.#stats = { ...this.#stats, failures: this.#stats.failures + 1, following: false };
        log.warn('watch failed', { kind, failures: this.#stats.failures, err });
      }
      if (shortOnes > 0) await sleep(clock, backoffMs(shortOnes), signal);
    }
  }

  /** Lists if need be, and watches until that ends; returns why it failed, if it did. */
  async #follow(signal: AbortSignal): Promise<unknown> {
    try {
      this.#version ??= await this.#relist();
      await this.#watch(this.#version, signal);
      return undefined;
    } catch (error) {
      if (!isStoreError(error, 'Unavailable')) this.#version = undefined;
      return error;
    }
  }

  async #relist(): Promise<string> {
    const { store, kind } = this.#options;
    const { items, resourceVersion } = await store.list(kind, this.#scope());
    const listed = new Map(items.map((object) => [keyText(keyOf(object)), object]));
    for (const key of this.#objects.keys()) if (!listed.has(key)) this.#replace(key, undefined);
    for (const [key, object] of listed) this.#replace(key, object);
    this.#stats = { ...this.#stats, lists: this.#stats.lists + 1, following: true };
    this.#synced.resolve();
    return resourceVersion;
  }

  async #watch(resourceVersion: string, signal: AbortSignal): Promise<void> {
    const { store, kind } = this.#options;
    for await (const event of store.watch(kind, { ...this.#scope(), resourceVersion, signal })) {
      if (event.type !== 'BOOKMARK') {
        this.#replace(keyText(keyOf(event.object)), event.type === 'DELETED' ? undefined : event.object);
      }
      this.#version = event.object.metadata.resourceVersion ?? this.#version;
      if (!this.#stats.following) this.#stats = { ...this.#stats, following: true };
    }
  }

  #scope(): { readonly namespace?: string } {
    const { namespace } = this.#options;
    return namespace === undefined ? {} : { namespace };
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
