import { execFileSync } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { cacheRoot } from '../cluster/cache.ts';

const VERSION = '0.3.0';

/** Builds vhost-device-vsock if it is not there. @returns an environment with it on the PATH. */
export function withVhostDevice(): Readonly<Record<string, string>> {
  const root = join(cacheRoot(), `vhost-device-vsock-${VERSION}`);
  if (!existsSync(join(root, 'bin/vhost-device-vsock'))) {
    console.error(`building vhost-device-vsock ${VERSION} under ${root} (once)`);
    const build = join(root, 'build');
    const words = [
      'install',
      '--quiet',
      '--locked',
      '--root',
      root,
      '--target-dir',
      build,
      `vhost-device-vsock@${VERSION}`,
    ];
    execFileSync('cargo', words, { stdio: 'inherit' });
    rmSync(build, { recursive: true });
  }
  return { PATH: [join(root, 'bin'), process.env['PATH'] ?? ''].join(delimiter) };
}
