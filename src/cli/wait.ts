import type { Kind } from '../api/kinds.ts';
import { parseDuration } from '../lib/duration.ts';
import { isNotFound } from './api-client.ts';
import { listObjects } from './listing.ts';
import { collectionPath, objectPath, type AnyObject } from './resource.ts';
import { CommandError, UsageError } from './failure.ts';
import type { Console, Input } from './verb.ts';
import { changes } from './watch.ts';

/** An object to wait for. */
export interface Target {
  readonly kind: Kind;
  readonly name: string;
  readonly namespace: string;
}

export interface WaitOptions {
  /** 0: without end. */
  readonly timeoutMs: number;
  /** Whether the wait is over. `undefined` is an object that is gone. */
  readonly isOver: (object: AnyObject | undefined) => boolean;
  /** What is being waited for, told on standard error after two seconds and whenever it changes. */
  readonly progress: (object: AnyObject) => string;
  /** Says what did not happen in time. */
  readonly timedOut: (last: AnyObject | undefined) => string;
}

const QUIET_MS = 2000;

/** The value of --timeout in milliseconds. */
export function timeoutOf(input: Input): number {
  const said = input.text('timeout') ?? '0';
  const ms = parseDuration(said);
  if (ms === undefined)
    throw new UsageError(`invalid argument ${JSON.stringify(said)} for --timeout: such as 30s or 5m`);
  return ms;
}

/** Follows an object until `isOver`, and returns it as it is then. @throws CommandError when that takes too long. */
export async function waitFor(console: Console, awaited: Target, options: WaitOptions): Promise<AnyObject | undefined> {
  const { timeoutMs, isOver, timedOut } = options;
  const { kind, name, namespace } = awaited;
  const { resourceVersion } = await listObjects(console, kind, { namespace, selector: '' });
  let last = await current(console, awaited);
  if (isOver(last)) return last;

  const ending = new AbortController();
  const deadline = timeoutMs === 0 ? undefined : setTimeout(() => ending.abort(), timeoutMs);
  const teller = progressTeller(console, () => (last === undefined ? '' : options.progress(last)));
  try {
    const signal = AbortSignal.any([console.signal, ending.signal]);
    for await (const change of changes(console, collectionPath(kind, namespace), { resourceVersion }, signal)) {
      if (change.object.metadata.name !== name) continue;
      last = change.type === 'DELETED' ? undefined : change.object;
      if (isOver(last)) return last;
      teller.changed();
    }
  } finally {
    clearTimeout(deadline);
    teller[Symbol.dispose]();
  }
  if (console.signal.aborted) throw new CommandError('interrupted');
  throw new CommandError(ending.signal.aborted ? timedOut(last) : 'serve stopped while this command waited');
}

async function current(console: Console, { kind, name, namespace }: Target): Promise<AnyObject | undefined> {
  try {
    return (await console.api.call({ method: 'GET', path: objectPath(kind, name, namespace) })).body as AnyObject;
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

/** Tells on standard error what is being waited for: nothing in the first two seconds, then each new reason once. */
function progressTeller(console: Console, text: () => string): Disposable & { changed(): void } {
  let told = '';
  let quiet = true;
  const tell = (): void => {
    const line = text();
    if (line !== told && line !== '') console.err(line);
    told = line;
  };
  const timer = setTimeout(() => {
    quiet = false;
    tell();
  }, QUIET_MS);
  return {
    changed: () => (quiet ? undefined : tell()),
    [Symbol.dispose]: () => clearTimeout(timer),
  };
}
