import { closeSync, constants, openSync } from 'node:fs';
import { basename, dirname } from 'node:path';

// sun_path holds 108 bytes with its final zero (unix(7)).
const MAX_PATH_BYTES = 107;

/**
 * A path for bind or connect that fits into a socket address, however deep the directory lies: where the real path is too
 * long it goes through a descriptor of the directory, which stays open until disposed.
 */
export function socketPath(path: string): Disposable & { readonly path: string } {
  if (Buffer.byteLength(path) <= MAX_PATH_BYTES) return { path, [Symbol.dispose]: () => undefined };
  const directory = openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY);
  return {
    path: `/proc/self/fd/${directory}/${basename(path)}`,
    [Symbol.dispose]: () => closeSync(directory),
  };
}
