import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileIdentity } from './file-identity.ts';

const KIND = 'aquifer.dev/client';
const DEVICE = 'libraries';
const FILE = 'aquifer.dev-client.json';
/** The hook takes milliseconds; a container that waited in vain is tried again. */
const HOOK_TIMEOUT_SECONDS = 30;

/** What Allocate names, for which the specification has the hook. Kubelet keeps it for restarts: it must never change. */
export const CDI_DEVICE = `${KIND}=${DEVICE}`;

/**
 * Tells the node's container runtimes of the hook that a container with a slot needs. The specification goes with the plugin,
 * without which no such container starts either; one that is left behind by a kill does no harm.
 */
export function publishCdiSpecification(directory: string, hook: string): Disposable {
  const file = join(directory, FILE);
  mkdirSync(directory, { recursive: true, mode: 0o755 });
  const temporary = `${file}.new`; // Runtimes read *.json alone.
  writeFileSync(temporary, JSON.stringify(specification(hook)), { mode: 0o644 });
  renameSync(temporary, file);
  const ours = fileIdentity(file);
  return {
    [Symbol.dispose]() {
      if (fileIdentity(file) === ours) rmSync(file, { force: true }); // Another one is that of a younger plugin.
    },
  };
}

/** createContainer: all is mounted, and the host, where the hook lies, can still be seen. */
const specification = (hook: string): object => ({
  cdiVersion: '0.6.0',
  kind: KIND,
  devices: [
    {
      name: DEVICE,
      containerEdits: {
        hooks: [{ hookName: 'createContainer', path: hook, args: [hook], timeout: HOOK_TIMEOUT_SECONDS }],
      },
    },
  ],
});
