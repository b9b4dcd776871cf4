import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { run, type Ran } from '../cluster/run.ts';
import { runInGuest, type GuestRan } from './control-channel.ts';
import { becomesRunning, migrateTo, sendState, type MigrationKind, type MigrationReport } from './migration.ts';
import { endProcess, fileSays, isRunning, startInNamespace, type Lifetime, type ProcessId } from './process.ts';
import { addressOf, qemuCommand, type Machine } from './qemu.ts';
import { Qmp } from './qmp.ts';

const MACHINE = join(import.meta.dirname, 'outside/machine.sh');
const POLL_MS = 20;
const ANSWER_MS = 120_000;
/** What one command line can hold of a file: the UART of the guest has no flow control. */
const CHUNK_BYTES = 8192;

/** The QEMU that runs a guest now. Each migration makes another one, in a network namespace of its own. */
interface Side {
  readonly generation: number;
  readonly qemu: ProcessId;
  readonly memory: string;
}

/** Where a guest runs: what all of a host's guests have in common. */
export interface Surroundings {
  readonly state: string;
  readonly lifetime: Lifetime;
  /** The process that holds the host's network namespace. */
  readonly hostPid: number;
}

/** A real guest, which one QEMU after the other runs. Whatever is known of it lies in its folder, so any process can go on with it. */
export class Guest {
  readonly name: string;
  readonly address: string;
  readonly #machine: Machine;
  readonly #around: Surroundings;
  readonly #folder: string;

  constructor(machine: Machine, around: Surroundings) {
    this.name = machine.name;
    this.address = addressOf(machine.index);
    this.#machine = machine;
    this.#around = around;
    this.#folder = join(around.state, machine.name);
  }

  /** One more guest for the same saved states, at the same addresses: only one of the two may have its network. It never boots. */
  twin(): Guest {
    return new Guest({ ...this.#machine, name: `${this.name}b` }, this.#around);
  }

  /** QEMU's monitor, which serves one client at a time. */
  get qmpSocket(): string {
    return join(this.#sideFolder(this.#side().generation), 'qmp');
  }

  /** What the guest printed on its console since it is where it is. */
  console(): string {
    return readFileSync(join(this.#sideFolder(this.#side().generation), 'console'), 'utf8');
  }

  /** @returns when its init has started all that it starts. @throws Error with its console when it panics. */
  async boot(): Promise<void> {
    const side = this.#start(1, this.#newMemory(1));
    this.#remember(side);
    await fileSays(join(this.#sideFolder(1), 'console'), 'GUEST-READY', () => !this.isRunning());
  }

  isRunning(): boolean {
    return isRunning(this.#side().qemu);
  }

  /** Runs a command line of a shell as root of the guest, whatever comes of it. One at a time, and not while the guest migrates. */
  attempt(command: string, timeoutMs = ANSWER_MS): Promise<GuestRan> {
    return runInGuest(join(this.#sideFolder(this.#side().generation), 'control'), command, timeoutMs);
  }

  /** As `attempt`. @returns what it printed. @throws Error with that when it fails. */
  async exec(command: string, timeoutMs = ANSWER_MS): Promise<string> {
    const { code, output } = await this.attempt(command, timeoutMs);
    if (code !== 0) throw new Error(`${this.name}: ${command} ended with ${code}:\n${output}`);
    return output;
  }

  /** Puts a small file into the guest. */
  async write(path: string, content: string | Buffer, mode = '600'): Promise<void> {
    const bytes = Buffer.from(content);
    const quoted = `'${path}'`;
    await this.exec(`mkdir -p "$(dirname ${quoted})" && : >${quoted} && chmod ${mode} ${quoted}`);
    for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
      const chunk = bytes.subarray(at, at + CHUNK_BYTES).toString('base64');
      await this.exec(`echo ${chunk} | base64 -d >>${quoted}`);
    }
  }

  /** Moves the guest to another QEMU on another (network namespace for a) machine. @throws Error when it runs on where it is. */
  async migrate(kind: MigrationKind = 'shared'): Promise<MigrationReport> {
    const from = this.#side();
    const generation = from.generation + 1;
    const socket = join(this.#folder, 'migration');
    rmSync(socket, { force: true });
    const memory = kind === 'shared' ? from.memory : this.#newMemory(generation);
    const to = this.#start(generation, memory, `unix:${socket}`);
    try {
      using source = await this.#monitor(from);
      using destination = await this.#monitor(to);
      await this.#forwards(to);
      const report = await migrateTo(source, destination, `unix:${socket}`, kind);
      this.#remember(to);
      await this.#end(from, { keepsMemory: kind === 'shared' });
      return report;
    } catch (error) {
      await this.#end(to, { keepsMemory: kind === 'shared' });
      throw error;
    }
  }

  /** Writes the whole state of the guest into a file and ends its QEMU. */
  async save(file: string): Promise<void> {
    const side = this.#side();
    {
      using qmp = await this.#monitor(side);
      await qmp.execute('stop');
      await sendState(qmp, `exec:cat > ${file}`);
    }
    await this.#end(side, { keepsMemory: false });
  }

  /** Goes on with a state that was saved, from the same moment each time. */
  async restore(file: string): Promise<void> {
    const before = this.#everRan() ? this.#side() : undefined;
    if (before !== undefined) await this.#end(before, { keepsMemory: false });
    const generation = (before?.generation ?? 0) + 1;
    const side = this.#start(generation, this.#newMemory(generation), `exec:cat ${file}`);
    this.#remember(side);
    using qmp = await this.#monitor(side);
    await this.#forwards(side);
    await becomesRunning(qmp);
  }

  /** Stops the guest's processors. Its clock stands still, and nobody outside is told. */
  async pause(): Promise<void> {
    await this.#execute('stop');
  }

  async continue(): Promise<void> {
    await this.#execute('cont');
  }

  /** Takes the link of the guest's machine down; the guest itself does not notice. */
  async cutNetwork(): Promise<void> {
    await this.#setUplink('down');
  }

  async mendNetwork(): Promise<void> {
    await this.#setUplink('up');
  }

  async cutNetworkFor(durationMs: number): Promise<void> {
    await this.cutNetwork();
    await sleep(durationMs);
    await this.mendNetwork();
  }

  async down(): Promise<void> {
    await this.#end(this.#side(), { keepsMemory: false });
    rmSync(this.#folder, { recursive: true });
  }

  #start(generation: number, memory: string, incoming?: string): Side {
    const folder = this.#sideFolder(generation);
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    const words = qemuCommand(this.#machine, { folder, memory, ...(incoming === undefined ? {} : { incoming }) });
    const command = [MACHINE, String(this.#around.hostPid), this.#uplink(generation), ...words];
    const qemu = startInNamespace(command, { ...this.#around, log: join(folder, 'qemu.log') });
    return { generation, qemu, memory };
  }

  /** By name as well: a network namespace is torn down some time after its last process. */
  async #end({ generation, qemu, memory }: Side, { keepsMemory }: { readonly keepsMemory: boolean }): Promise<void> {
    await endProcess(qemu);
    await this.#onHost(['ip', 'link', 'delete', this.#uplink(generation)]).catch(() => undefined);
    if (!keepsMemory) rmSync(memory, { force: true });
  }

  /** The kernel takes up to a second to see that a link is up; what a guest sends before that is lost. */
  async #forwards({ generation, qemu }: Side): Promise<void> {
    const own = ['nsenter', '--target', String(qemu.pid), '--net', 'ip', '-d', 'link', 'show', 'master', 'br0'];
    const hosts = ['ip', '-d', 'link', 'show', this.#uplink(generation)];
    const ports = async (): Promise<number> =>
      [await run(own), await this.#onHost(hosts)]
        .map(({ stdout }) => stdout)
        .join('')
        .match(/state forwarding/g)?.length ?? 0;
    while ((await ports()) < 3) await sleep(POLL_MS);
  }

  #monitor({ generation, qemu }: Side): Promise<Qmp> {
    return Qmp.connect(join(this.#sideFolder(generation), 'qmp'), () => !isRunning(qemu));
  }

  async #execute(command: string): Promise<void> {
    using qmp = await this.#monitor(this.#side());
    await qmp.execute(command);
  }

  async #setUplink(state: 'up' | 'down'): Promise<void> {
    await this.#onHost(['ip', 'link', 'set', this.#uplink(this.#side().generation), state]);
  }

  #onHost(command: readonly string[]): Promise<Ran> {
    return run(['nsenter', '--target', String(this.#around.hostPid), '--net', ...command]);
  }

  #uplink(generation: number): string {
    return `${this.name}-${generation}`;
  }

  #newMemory(generation: number): string {
    return join(this.#around.state, 'memory', `${this.name}-${generation}`);
  }

  #sideFolder(generation: number): string {
    return join(this.#folder, String(generation));
  }

  #side(): Side {
    return JSON.parse(readFileSync(this.#sideFile(), 'utf8')) as Side;
  }

  #everRan(): boolean {
    return existsSync(this.#sideFile());
  }

  #sideFile(): string {
    return join(this.#folder, 'side.json');
  }

  #remember(side: Side): void {
    writeFileSync(this.#sideFile(), JSON.stringify(side));
  }
}
