import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { findAcceleration, type Acceleration } from './acceleration.ts';
import { Guest } from './guest.ts';
import { KERNEL_SERIES, type KernelSeries } from './packages.ts';
import { ensureGuestParts } from './parts.ts';
import { endProcess, fileSays, isRunning, startInNamespace, type Lifetime, type ProcessId } from './process.ts';
import { writeProductDisk } from './product-disk.ts';
import { HOST_ADDRESS, type Init } from './qemu.ts';

const HOST = join(import.meta.dirname, 'outside/host.sh');
const STATES = '/var/tmp';
const PREFIX = 'aquifer-guests-';
/** Guests' memory is a file: one that no disk is busy with. */
const MEMORY = '/dev/shm';

export interface HostOptions {
  /** @default 256 */
  readonly memoryMiB?: number;
  /** @default the newest */
  readonly kernel?: KernelSeries;
  /** @default script */
  readonly init?: Init;
  /** @default with its owner */
  readonly lifetime?: Lifetime;
  /** What guests have in /usr/local/libexec as well. */
  readonly programs?: readonly string[];
}

/** What is remembered of a host, for other processes. */
interface Record {
  /** Holds the network namespace. */
  readonly holder: ProcessId;
  readonly memoryMiB: number;
  readonly kernel: KernelSeries;
  readonly acceleration: Acceleration;
  readonly lifetime: Lifetime;
  readonly init: Init;
}

/**
 * A network namespace that is a host with guests on its bridge; each guest's QEMU has another one, that is the machine it is on.
 * Needs root. Several lie side by side.
 */
export class GuestHost implements AsyncDisposable {
  readonly address = HOST_ADDRESS;
  readonly state: string;
  readonly #record: Record;

  private constructor(state: string, record: Record) {
    this.state = state;
    this.#record = record;
  }

  static async up({
    memoryMiB = 256,
    kernel = KERNEL_SERIES[0],
    lifetime = 'with its owner',
    programs = [],
    init = 'script',
  }: HostOptions = {}): Promise<GuestHost> {
    const parts = ensureGuestParts(kernel);
    const acceleration = await findAcceleration(parts);
    await removeDead();
    const state = mkdtempSync(join(STATES, PREFIX));
    mkdirSync(memoryOf(state), { mode: 0o700 });
    symlinkSync(memoryOf(state), join(state, 'memory'));
    const ready = join(state, 'ready');
    const holder = startInNamespace([HOST, `${HOST_ADDRESS}/24`, ready], {
      lifetime,
      log: join(state, 'host.log'),
    });
    const record = { holder, memoryMiB, kernel, acceleration, lifetime, init };
    writeFileSync(join(state, 'host.json'), JSON.stringify(record));
    const host = new GuestHost(state, record);
    try {
      await fileSays(ready, 'ready', () => !isRunning(holder));
      await writeProductDisk(parts, join(state, 'product.img'), programs);
      return host;
    } catch (error) {
      await host.down();
      throw error;
    }
  }

  /** The host that `up` of another process started. @throws Error when there is none, or more than one. */
  static attach(): GuestHost {
    const running = statesThere().filter((state) => existsSync(join(state, 'host.json')) && isAlive(state));
    const [state, another] = running;
    if (state === undefined) throw new Error('there is no host with guests: make guest-up');
    if (another !== undefined) throw new Error(`there are several: ${running.join(', ')}; use the one you started`);
    return new GuestHost(state, recordOf(state));
  }

  /** What runs the guests. */
  get acceleration(): Acceleration {
    return this.#record.acceleration;
  }

  /** What a command begins with that is to run in the host's network. */
  get enter(): readonly string[] {
    return ['nsenter', '--target', String(this.#record.holder.pid), '--net'];
  }

  /** A guest of this host, whether it runs or not. */
  guest(index = 1): Guest {
    const { memoryMiB, kernel, acceleration, lifetime, init, holder } = this.#record;
    const parts = ensureGuestParts(kernel);
    const productDisk = join(this.state, 'product.img');
    const machine = { name: `vm${index}`, index, memoryMiB, acceleration, init, parts, productDisk };
    return new Guest(machine, { state: this.state, lifetime, hostPid: holder.pid });
  }

  /** Boots a guest. @throws Error with its console when it does not come up. */
  async boot(index = 1): Promise<Guest> {
    const guest = this.guest(index);
    await guest.boot();
    return guest;
  }

  /** Ends all guests and removes all that they were. */
  down(): Promise<void> {
    return remove(this.state);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.down();
  }
}

const memoryOf = (state: string): string => join(MEMORY, basename(state));
const recordOf = (state: string): Record => JSON.parse(readFileSync(join(state, 'host.json'), 'utf8')) as Record;
const isAlive = (state: string): boolean => isRunning(recordOf(state).holder);

const statesThere = (): readonly string[] =>
  readdirSync(STATES)
    .filter((name) => name.startsWith(PREFIX))
    .map((name) => join(STATES, name));

/** What was killed could not remove what it had. */
async function removeDead(): Promise<void> {
  for (const state of statesThere()) if (existsSync(join(state, 'host.json')) && !isAlive(state)) await remove(state);
}

async function remove(state: string): Promise<void> {
  const sides = readdirSync(state)
    .map((name) => join(state, name, 'side.json'))
    .filter((file) => existsSync(file));
  for (const file of sides) {
    const { qemu } = JSON.parse(readFileSync(file, 'utf8')) as { readonly qemu: ProcessId };
    await endProcess(qemu);
  }
  await endProcess(recordOf(state).holder);
  for (const folder of [memoryOf(state), state]) rmSync(folder, { recursive: true, force: true });
}
