import { spawnSync } from 'node:child_process';

/** What to put before a command so that it may mount; what it mounts is gone with it, and nobody else sees it. */
const OWN_MOUNTS = [
  ['unshare', '--mount'],
  ['unshare', '--user', '--map-root-user', '--mount'],
] as const;

/**
 * The command line that runs `argv` with a disk of `bytes` mounted at `directory`.
 *
 * @throws Error that says what is missing where neither root nor a user namespace lets this process mount.
 */
export function onDiskOf(bytes: number, directory: string, argv: readonly string[]): readonly [string, ...string[]] {
  const refusals: string[] = [];
  for (const [unshare, ...flags] of OWN_MOUNTS) {
    const mount = ['sh', '-c', 'mount -t tmpfs -o size="$1" none "$2" && shift 2 && exec "$@"', 'sh'];
    const before = [...flags, ...mount, String(bytes), directory];
    const { status, stderr, error } = spawnSync(unshare, [...before, 'true'], { encoding: 'utf8' });
    if (status === 0) return [unshare, ...before, ...argv];
    refusals.push(`${[unshare, ...flags].join(' ')}: ${error?.message ?? stderr.trim()}`);
  }
  throw new Error(`a disk of its own needs root or user namespaces:\n${refusals.join('\n')}`);
}
