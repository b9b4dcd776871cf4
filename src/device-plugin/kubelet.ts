import { statSync, watch } from 'node:fs';
import { basename, join } from 'node:path';
import { rpcClient } from '../grpc/client.ts';
import type { Clock } from '../lib/clock.ts';
import { Registration } from '../protocol/device-plugin.generated.ts';
import type { Resource } from './resource.ts';

const API_VERSION = 'v1beta1';
const REGISTER_TIMEOUT_MS = 5000;

/** Several notifications come for one new socket; one look is enough for all. */
const DEBOUNCE_MS = 20;
/** For a notification that never came. */
const LOOK_AGAIN_MS = 2000;

export const kubeletSocket = (directory: string): string => join(directory, 'kubelet.sock');

/** Asks kubelet to use what is served at the resource's endpoint. It calls back before it answers. */
export async function register({ name, endpoint, options }: Resource, directory: string): Promise<void> {
  using kubelet = rpcClient(Registration, { address: `unix:${kubeletSocket(directory)}` });
  await kubelet.Register(
    { version: API_VERSION, endpoint: basename(endpoint), resourceName: name, options },
    { timeoutMs: REGISTER_TIMEOUT_MS },
  );
}

/**
 * What tells a file from another that was made later under the same name, and does not change with its mode or label;
 * undefined where there is none. A file system without times of birth does not use numbers of inodes twice (tmpfs).
 */
export function fileIdentity(path: string): string | undefined {
  const found = statSync(path, { bigint: true, throwIfNoEntry: false });
  return found === undefined ? undefined : `${found.dev}:${found.ino}:${found.birthtimeNs}`;
}

/** Calls `look` soon after anything in the directory was made or removed, and now and then for good measure. */
export function watchDirectory(directory: string, clock: Clock, look: () => void): Disposable {
  let soon: Disposable | undefined;
  let later: Disposable | undefined;
  const debounced = (): void => {
    soon ??= clock.after(DEBOUNCE_MS, () => {
      soon = undefined;
      look();
    });
  };
  const again = (): void => {
    later = clock.after(LOOK_AGAIN_MS, () => {
      again();
      look();
    });
  };
  const watcher = watch(directory, debounced);
  watcher.on('error', () => undefined); // The second look does its work from then on.
  again();
  return {
    [Symbol.dispose]() {
      watcher.close();
      soon?.[Symbol.dispose]();
      later?.[Symbol.dispose]();
    },
  };
}
