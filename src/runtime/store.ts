/**
 * The store port: all that reconcilers know of the place where objects are kept. `src/embedded` fills it with one SQLite
 * file, `src/kube` with the Kubernetes API; one conformance suite holds both to the comments below.
 *
 * The port is generic over a table of kinds (`Kinds` in `src/api/kinds.ts`), so that the runtime is free of the domain.
 * What a store returns is frozen or must be treated so: nobody changes it in place.
 */

/** What every stored object has. A store sets uid, resourceVersion, generation and the timestamps. */
export interface ApiObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string | undefined;
    readonly uid?: string | undefined;
    readonly resourceVersion?: string | undefined;
    readonly generation?: number | undefined;
    readonly deletionTimestamp?: string | undefined;
    readonly finalizers?: readonly string[] | undefined;
    readonly labels?: Readonly<Record<string, string>> | undefined;
    readonly annotations?: Readonly<Record<string, string>> | undefined;
  };
}

/** A table of kinds: the name of a kind → the type of its objects. */
export type KindTable<Kinds> = { readonly [K in keyof Kinds]: ApiObject };
export type Kind<Kinds> = Extract<keyof Kinds, string>;

/** Names an object within its kind; `namespace` is absent for cluster-wide kinds. */
export interface Key {
  readonly namespace?: string | undefined;
  readonly name: string;
}

/** `namespace/name`, or `name` for cluster-wide kinds: for maps and for people. */
export function keyText(key: Key): string {
  return key.namespace === undefined ? key.name : `${key.namespace}/${key.name}`;
}

/** The key of an object. */
export function keyOf(object: ApiObject): Key {
  const { namespace, name } = object.metadata;
  return namespace === undefined ? { name } : { namespace, name };
}

/** An object as its author writes it; the store checks it, fills in defaults and what it sets itself, and drops status. */
export interface Draft {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string | undefined;
    readonly labels?: Readonly<Record<string, string>> | undefined;
    readonly annotations?: Readonly<Record<string, string>> | undefined;
    readonly finalizers?: readonly string[] | undefined;
    readonly ownerReferences?: readonly object[] | undefined;
  };
  readonly spec?: unknown;
}

/** RFC 7396: objects merge, `null` removes, everything else (lists too) replaces. */
export interface MergePatch {
  readonly metadata?: Readonly<Record<string, unknown>>;
  readonly spec?: Readonly<Record<string, unknown>>;
  readonly status?: Readonly<Record<string, unknown>>;
}

/** What is written, and where to: without `subresource` the status of the patch is ignored, with it all but the status. */
export interface PatchOptions {
  readonly subresource?: 'status';
  /** Makes the write conditional: `Conflict` when the object has moved on. */
  readonly resourceVersion?: string | undefined;
}

export interface ListOptions {
  readonly namespace?: string;
  /** All of these labels with these values. */
  readonly labelSelector?: Readonly<Record<string, string>>;
}

export interface List<T> {
  readonly items: readonly T[];
  /** A watch from here misses nothing and repeats nothing. */
  readonly resourceVersion: string;
}

/** Order is the order of the writes. A bookmark only says how far the watch has come. */
export type WatchEvent<T> =
  | { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'; readonly object: T }
  | { readonly type: 'BOOKMARK'; readonly object: { readonly metadata: { readonly resourceVersion: string } } };

export interface WatchOptions {
  readonly resourceVersion: string;
  /** Ends the iteration without an error. */
  readonly signal: AbortSignal;
  readonly namespace?: string;
}

/** The object that an event is about. */
export interface ObjectReference extends Key {
  /** @default that of our own kinds */
  readonly apiVersion?: string;
  readonly kind: string;
  readonly uid?: string | undefined;
}

export interface EventDraft {
  readonly type: 'Normal' | 'Warning';
  /** PascalCase, from the closed list of the code that records it. */
  readonly reason: string;
  readonly message: string;
}

/** Equal events of one object are one record that counts. Times are RFC 3339. */
export interface EventRecord extends EventDraft {
  readonly count: number;
  readonly firstTimestamp: string;
  readonly lastTimestamp: string;
}

/** Every method rejects with a StoreError and with nothing else. */
export interface Store<Kinds extends KindTable<Kinds>> {
  get<K extends Kind<Kinds>>(kind: K, key: Key): Promise<Kinds[K] | undefined>;

  list<K extends Kind<Kinds>>(kind: K, options?: ListOptions): Promise<List<Kinds[K]>>;

  /** `AlreadyExists`, or `Invalid` with a detail for every field that is wrong. */
  create<K extends Kind<Kinds>>(kind: K, object: Draft): Promise<Kinds[K]>;

  /** A patch that changes nothing writes nothing: same resourceVersion, no watch event. */
  patch<K extends Kind<Kinds>>(kind: K, key: Key, patch: MergePatch, options?: PatchOptions): Promise<Kinds[K]>;

  /**
   * Removes the object; one that has finalizers gets a deletionTimestamp, and goes when the last finalizer goes. Returns
   * the object where it still exists, else `undefined`; `NotFound` when there was none.
   */
  delete<K extends Kind<Kinds>>(
    kind: K,
    key: Key,
    options?: { readonly uid?: string; readonly resourceVersion?: string },
  ): Promise<Kinds[K] | undefined>;

  /** Throws `Expired` when the version is older than the history that is kept: list again. */
  watch<K extends Kind<Kinds>>(kind: K, options: WatchOptions): AsyncIterable<WatchEvent<Kinds[K]>>;

  recordEvent(about: ObjectReference, event: EventDraft): Promise<void>;

  /** Oldest first. */
  listEvents(about: ObjectReference): Promise<readonly EventRecord[]>;
}

/**
 * NotFound, AlreadyExists, Conflict, Invalid: the store answered, nothing was written.
 * Expired: a watch must begin with a new list. Unavailable: nothing was written, try again later.
 * Unknown: the connection was lost after a write was sent; it may have landed.
 */
export type StoreErrorCode =
  'NotFound' | 'AlreadyExists' | 'Conflict' | 'Invalid' | 'Expired' | 'Unavailable' | 'Unknown';

/** One field that is wrong: its path (`spec.resources.memory`) and what would be right. */
export interface FieldProblem {
  readonly field: string;
  readonly message: string;
}

export class StoreError extends Error {
  override readonly name = 'StoreError';
  readonly code: StoreErrorCode;
  readonly details: readonly FieldProblem[];

  constructor(
    code: StoreErrorCode,
    message: string,
    options: { readonly details?: readonly FieldProblem[]; readonly cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.code = code;
    this.details = options.details ?? [];
  }
}

/** Whether an exception is the store's answer of that code. */
export function isStoreError(error: unknown, code: StoreErrorCode): error is StoreError {
  return error instanceof StoreError && error.code === code;
}
