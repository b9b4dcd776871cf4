import { setTimeout as sleep } from 'node:timers/promises';

/** Reads until `isThere` holds of what was read, and returns that. @throws Error with the last reading after `timeoutMs`. */
export async function eventually<T>(
  read: () => T | Promise<T>,
  isThere: (value: T) => boolean | Promise<boolean>,
  timeoutMs = 15_000,
): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const value = await read();
    if (await isThere(value)) return value;
    if (Date.now() > deadline) throw new Error(`still ${JSON.stringify(value)} after ${timeoutMs} ms`);
    await sleep(50);
  }
}
