import type { Kind, Kinds } from '../api/kinds.ts';
import { StoreError, type WatchEvent, type WatchOptions } from '../runtime/store.ts';

/** One committed write of one object. Versions are consecutive: each change has the next. */
export interface Change {
  readonly version: number;
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly kind: Kind;
  readonly object: Kinds[Kind];
}

/**
 * The latest `size` changes since `version`, for watches. It lives in memory only: after a restart a watch from before
 * is `Expired` and lists again, which is also what a watch gets that falls too far behind.
 */
export class History {
  readonly #size: number;
  readonly #waiting = new Set<() => void>();
  #oldest: number; // A watch may begin at this version or later.
  #changes: Change[] = [];
  #closed = false;

  constructor(version: number, size: number) {
    this.#oldest = version;
    this.#size = size;
  }

  publish(added: readonly Change[]): void {
    this.#changes.push(...added);
    // Cut rarely and by half, so that a change costs next to nothing on average.
    if (this.#changes.length > this.#size * 2) {
      const cut = this.#changes.length - this.#size;
      this.#changes = this.#changes.slice(cut);
      this.#oldest += cut;
    }
    this.#wakeAll();
  }

  async *watch<K extends Kind>(kind: K, options: WatchOptions): AsyncGenerator<WatchEvent<Kinds[K]>> {
    const { signal, namespace } = options;
    let position = versionOf(options.resourceVersion);
    let told = position; // The last version that this watch's user has seen.
    while (!signal.aborted) {
      const change = this.#after(position);
      if (change !== undefined) {
        position = change.version;
        if (change.kind !== kind || !isIn(namespace, change)) continue;
        told = position;
        yield { type: change.type, object: change.object as Kinds[K] };
      } else if (position - told >= this.#size / 8) {
        // A watch of a quiet kind would expire without a word while others are written.
        told = position;
        yield { type: 'BOOKMARK', object: { metadata: { resourceVersion: String(position) } } };
      } else {
        await this.#news(signal);
      }
    }
  }

  /** Ends every watch with `Unavailable`. */
  close(): void {
    this.#closed = true;
    this.#wakeAll();
  }

  /** The change after `position`, if there is one yet. */
  #after(position: number): Change | undefined {
    if (this.#closed) throw new StoreError('Unavailable', 'the store is closed');
    if (position < this.#oldest || position > this.#oldest + this.#changes.length) {
      throw new StoreError('Expired', `resource version ${position} is not in the history any more: list again`);
    }
    return this.#changes[position - this.#oldest];
  }

  #news(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#waiting.delete(wake);
        signal.removeEventListener('abort', wake);
        resolve();
      };
      this.#waiting.add(wake);
      signal.addEventListener('abort', wake);
    });
  }

  #wakeAll(): void {
    for (const wake of this.#waiting) wake();
  }
}

const isIn = (namespace: string | undefined, change: Change): boolean =>
  namespace === undefined || change.object.metadata.namespace === namespace;

function versionOf(text: string): number {
  if (/^[0-9]{1,15}$/.test(text)) return Number(text);
  throw new StoreError('Invalid', `not a resource version of this store: ${JSON.stringify(text)}`);
}
