import type { Clock } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import type { WorkQueue } from './queue.ts';
import { isStoreError } from './store.ts';

/** How a pass ended: nothing more to do until something changes, or look again after a while. */
export type Outcome = { readonly retryAfterMs?: number };

export const done: Outcome = {};
export const retryAfter = (ms: number): Outcome => ({ retryAfterMs: ms });

/** Brings the world nearer to what one object asks for. It gets the object as it is now, never what happened to it. */
export interface Controller<T> {
  readonly name: string;
  /** Passes at the same time; one object never has two. */
  readonly concurrency: number;
  reconcile(object: T): Promise<Outcome>;
}

/** Retrying is of no use until the object changes. */
export class TerminalError extends Error {
  override readonly name = 'TerminalError';
}

/** One pass, for metrics. */
export interface Pass {
  readonly controller: string;
  readonly result: 'Done' | 'Retry' | 'Conflict' | 'Failed' | 'Terminal';
  readonly durationMs: number;
}

export interface ControllerOptions<T> {
  readonly queue: WorkQueue;
  /** The object of a key as it is now; `undefined`: it is gone and there is nothing to do. */
  readonly read: (key: string) => T | undefined;
  readonly clock: Clock;
  readonly log: Log;
  /** Aborted: no new pass begins. */
  readonly signal: AbortSignal;
  readonly onPass?: (pass: Pass) => void;
}

/** Runs a controller until the signal; resolves when the passes in work have ended. Errors are logged and retried here. */
export async function runController<T>(controller: Controller<T>, options: ControllerOptions<T>): Promise<void> {
  const { queue, signal } = options;
  const close = (): void => queue.close();
  signal.addEventListener('abort', close, { once: true });
  if (signal.aborted) close();
  await Promise.all(Array.from({ length: controller.concurrency }, () => work(controller, options)));
}

async function work<T>(controller: Controller<T>, options: ControllerOptions<T>): Promise<void> {
  const { queue, clock, onPass } = options;
  for (;;) {
    const key = await queue.take();
    if (key === undefined) return;
    const started = clock.now().getTime();
    const result = await pass(controller, options, key);
    queue.done(key);
    onPass?.({ controller: controller.name, result, durationMs: clock.now().getTime() - started });
  }
}

async function pass<T>(controller: Controller<T>, options: ControllerOptions<T>, key: string): Promise<Pass['result']> {
  const { queue, read } = options;
  try {
    const object = read(key);
    const { retryAfterMs } = object === undefined ? done : await controller.reconcile(object);
    queue.forget(key);
    if (retryAfterMs === undefined) return 'Done';
    queue.addAfter(key, retryAfterMs);
    return 'Retry';
  } catch (error) {
    return failed(controller.name, options, key, error);
  }
}

function failed<T>(name: string, options: ControllerOptions<T>, key: string, err: unknown): Pass['result'] {
  const { queue, log } = options;
  if (err instanceof TerminalError) {
    log.error('reconcile cannot succeed', { controller: name, object: key, err });
    queue.forget(key);
    return 'Terminal';
  }
  const delayMs = queue.retry(key);
  if (isStoreError(err, 'Conflict')) {
    // Somebody else wrote first; what they wrote is on its way to us. Nothing is wrong.
    log.debug('object has moved on', { controller: name, object: key, delayMs });
    return 'Conflict';
  }
  log.warn('reconcile failed', { controller: name, object: key, delayMs, err });
  return 'Failed';
}
