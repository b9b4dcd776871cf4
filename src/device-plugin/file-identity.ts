import { statSync } from 'node:fs';

/**
 * What tells a file from another that was made later under the same name, and does not change with its mode or label;
 * undefined where there is none. A file system without times of birth does not use numbers of inodes twice (tmpfs).
 */
export function fileIdentity(path: string): string | undefined {
  const found = statSync(path, { bigint: true, throwIfNoEntry: false });
  return found === undefined ? undefined : `${found.dev}:${found.ino}:${found.birthtimeNs}`;
}
