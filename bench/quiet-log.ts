import type { Log } from '../src/lib/log.ts';

const ignore = (): void => undefined;

/** For informers of a bench: one that fails makes the bench wait, and is not for its reader. */
export const QUIET: Log = { error: ignore, warn: ignore, info: ignore, debug: ignore };
