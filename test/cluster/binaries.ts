import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { cacheFolder, MODULES } from './cache.ts';
import { COMPONENTS, type Command, type Component } from './components.ts';

const REPORT_EVERY_MS = 10_000;

/** Builds from Go modules whichever of these commands the cache lacks, and says so. @returns the folder that holds them. */
export async function ensureBinaries(wanted: readonly Command[]): Promise<string> {
  const bin = join(cacheFolder(), 'bin');
  mkdirSync(bin, { recursive: true });
  for (const component of COMPONENTS) {
    const missing = Object.keys(component.commands).filter(
      (command) => wanted.includes(command as Command) && !existsSync(join(bin, command)),
    );
    if (missing.length > 0) await build(component, missing, bin);
  }
  return bin;
}

async function build(component: Component, commands: readonly string[], bin: string): Promise<void> {
  const { name, version, wrapper } = component;
  const folder = mkdtempSync(join(bin, '..', 'build-'));
  try {
    using report = new Progress(`${name} ${version}: ${commands.join(', ')}`);
    // One build at a time: two would compile the same packages twice.
    await run(
      'flock',
      [join(bin, '..', 'lock'), 'nice', '-n', '19', 'go', ...goArguments(component, commands, folder)],
      {
        cwd: wrapper === undefined ? folder : join(MODULES, wrapper),
        env: goEnvironment(component, folder),
        onPackage: () => report.count(),
      },
    );
    for (const command of commands) renameSync(join(folder, command), join(bin, command));
    report.done();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function goArguments(component: Component, commands: readonly string[], folder: string): readonly string[] {
  const packages = commands.map((command) => component.commands[command] ?? command);
  const flags = ['-v', '-trimpath', '-ldflags', ['-s', '-w', ...(component.ldflags ?? [])].join(' ')];
  if (component.wrapper === undefined) {
    return ['install', ...flags, ...packages.map((path) => `${path}@v${component.version}`)];
  }
  return ['build', ...flags, '-o', commands.length === 1 ? join(folder, commands[0] ?? '') : `${folder}/`, ...packages];
}

function goEnvironment({ wrapper }: Component, folder: string): NodeJS.ProcessEnv {
  const flags = [process.env['GOFLAGS'] ?? '', '-buildvcs=false', wrapper === undefined ? '' : '-mod=readonly'];
  return { ...process.env, CGO_ENABLED: '0', GOTOOLCHAIN: 'local', GOBIN: folder, GOFLAGS: flags.join(' ').trim() };
}

interface RunOptions {
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
  readonly onPackage: () => void;
}

/** Go prints each package that it compiles on a line of its own, and everything else is worth keeping for the error. */
async function run(command: string, args: readonly string[], { cwd, env, onPackage }: RunOptions): Promise<void> {
  const child = spawn(command, args, { cwd, env, stdio: ['ignore', 'ignore', 'pipe'] });
  const said: string[] = [];
  const lines = createInterface({ input: child.stderr }).on('line', (line) => {
    if (/^[\w.~/-]+$/.test(line)) onPackage();
    else if (!line.startsWith('go: downloading ')) said.push(line);
  });
  const [code] = (await once(child, 'close')) as [number | null];
  lines.close();
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code}:\n${said.join('\n')}`);
}

/** Says on stderr what is built, how far it is and how long it took. */
class Progress implements Disposable {
  readonly #what: string;
  readonly #startedAt = Date.now();
  readonly #timer: NodeJS.Timeout;
  #packages = 0;

  constructor(what: string) {
    this.#what = what;
    console.error(`building ${what}`);
    this.#timer = setInterval(() => this.#say('so far'), REPORT_EVERY_MS);
  }

  count(): void {
    this.#packages += 1;
  }

  done(): void {
    this.#say('in all, done');
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  #say(state: string): void {
    const seconds = Math.round((Date.now() - this.#startedAt) / 1000);
    console.error(`  ${this.#what.split(':')[0]}: ${this.#packages} packages compiled ${state}, ${seconds} s`);
  }
}
