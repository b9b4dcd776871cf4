import { watch, type FSWatcher } from 'node:fs';
import type { Clock } from '../lib/clock.ts';
import { fileIdentity } from './file-identity.ts';

/** Several notifications come for one new socket; one look is enough for all. */
const DEBOUNCE_MS = 20;
/** For a notification that never came. */
const LOOK_AGAIN_MS = 2000;
/** While there are no notifications: a kubelet that starts has pods to admit half a second later. */
const UNWATCHED_MS = 200;

/**
 * Calls `look` soon after anything in the directory was made or removed, and now and then for good measure. A directory
 * that is not there yet, or a machine that has no watch left to give, is looked at more often instead.
 */
export function watchDirectory(directory: string, clock: Clock, look: () => void): Disposable {
  let watcher: FSWatcher | undefined;
  let watched: string | undefined;
  let soon: Disposable | undefined;

  const debounced = (): void => {
    soon ??= clock.after(DEBOUNCE_MS, () => {
      soon = undefined;
      look();
    });
  };
  const unwatch = (): void => {
    watcher?.close();
    watcher = undefined;
  };
  const tryToWatch = (): void => {
    watched = fileIdentity(directory);
    try {
      watcher = watch(directory, debounced).on('error', unwatch);
    } catch {
      unwatch();
    }
  };
  const again = (): Disposable =>
    clock.after(watcher === undefined ? UNWATCHED_MS : LOOK_AGAIN_MS, () => {
      if (watched !== fileIdentity(directory)) unwatch(); // Of one that was made anew no notification comes.
      if (watcher === undefined) tryToWatch();
      later = again();
      look();
    });

  tryToWatch();
  let later = again();
  return {
    [Symbol.dispose]() {
      unwatch();
      soon?.[Symbol.dispose]();
      later[Symbol.dispose]();
    },
  };
}
