import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '../support/eventually.ts';
import { PREFIX, runProgram, type Ran, type Serve } from '../support/serve.ts';
import { runInGuest, type GuestRan } from './control-channel.ts';
import { ensureGuestParts } from './parts.ts';
import { fileSays } from './process.ts';
import { kernelWords } from './qemu.ts';

const LIBVIRTD = join(import.meta.dirname, 'outside/libvirtd.sh');
const NAMESPACES = ['--mount', '--net', '--pid'];
const PATH = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`;
const READY_MS = 120_000;
const BOOT_MS = 300_000;
const COMMAND_MS = 120_000;

/** A host whose guests are those of a libvirtd in namespaces of its own. Needs root. */
export class LibvirtHost implements AsyncDisposable {
  readonly #state: string;
  /** Of the first process of its namespaces. */
  readonly #pid: string;
  readonly #end: () => Promise<void>;

  private constructor(state: string, pid: string, end: () => Promise<void>) {
    this.#state = state;
    this.#pid = pid;
    this.#end = end;
  }

  /** @returns when virsh is answered. @throws Error with what libvirtd says instead. */
  static async up(): Promise<LibvirtHost> {
    const state = mkdtempSync(join(tmpdir(), 'aq-libvirt-'));
    const log = join(state, 'log');
    const words = ['--pdeathsig', 'KILL', 'unshare', ...NAMESPACES, '--fork', '--kill-child', '--mount-proc'];
    const child = spawn('setpriv', [...words, LIBVIRTD, log], { env: { ...process.env, PATH }, stdio: 'ignore' });
    const ended = once(child, 'exit');
    const end = async (): Promise<void> => {
      child.kill('SIGKILL');
      await ended;
      rmSync(state, { recursive: true, force: true });
    };
    const own = `/proc/${child.pid ?? 0}/task/${child.pid ?? 0}/children`;
    try {
      const [pid = ''] = await eventually(
        () => readIfThere(own).trim().split(' '),
        ([first]) => first !== '' || child.exitCode !== null,
        READY_MS,
      );
      const host = new LibvirtHost(state, pid, end);
      await eventually(
        () => host.run('virsh', ['version']),
        ({ code }) => code === 0,
        READY_MS,
      );
      return host;
    } catch (cause) {
      const said = readIfThere(log);
      await end();
      throw new Error(`libvirtd does not start:\n${said}`, { cause });
    }
  }

  /** Runs a program where libvirtd is. */
  run(program: string, words: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Ran> {
    const enter = ['--target', this.#pid, ...NAMESPACES, program];
    return runProgram('nsenter', [...enter, ...words], { env: { PATH, ...env } }).ended;
  }

  /** The command line of a serve, on this host. */
  cli(serve: Serve, words: readonly string[]): Promise<Ran> {
    return this.run(join(PREFIX, 'bin/aquifer'), words, { AQUIFER_DATA_DIR: serve.dataDir });
  }

  /** Defines a domain of the tests' guest, without a network, and starts it. @returns when it has booted */
  async boot(name: string): Promise<void> {
    const file = join(this.#state, `${name}.xml`);
    writeFileSync(file, domainXml(name, this.#state));
    for (const words of [
      ['define', file],
      ['start', name],
    ]) {
      const { code, stderr } = await this.run('virsh', words);
      if (code !== 0) throw new Error(`virsh ${words.join(' ')}: ${stderr}`);
    }
    const deadline = Date.now() + BOOT_MS;
    await fileSays(join(this.#state, `${name}.console`), 'GUEST-READY', () => Date.now() > deadline);
  }

  /** Runs a command line of a shell as root of a domain. */
  inDomain(name: string, command: string): Promise<GuestRan> {
    return runInGuest(join(this.#state, `${name}.control`), command, COMMAND_MS);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#end();
  }
}

const readIfThere = (file: string): string => (existsSync(file) ? readFileSync(file, 'utf8') : '');

/** Always emulated; the second disk, which is to be /usr/local, holds nothing of use. */
function domainXml(name: string, state: string): string {
  const { kernel, initramfs, root } = ensureGuestParts();
  const disk = (target: string): string =>
    `<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='${root}'/>
     <target dev='${target}' bus='virtio'/><readonly/><shareable/></disk>`;
  return `<domain type='qemu'>
  <name>${name}</name>
  <memory unit='MiB'>256</memory>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>${kernel}</kernel><initrd>${initramfs}</initrd><cmdline>${kernelWords({ name })}</cmdline>
  </os>
  <features><acpi/></features>
  <cpu mode='maximum'/>
  <devices>
    ${disk('vda')}
    ${disk('vdb')}
    <serial type='file'><source path='${state}/${name}.console'/><target port='0'/></serial>
    <serial type='unix'><source mode='bind' path='${state}/${name}.control'/><target port='1'/></serial>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
  </devices>
</domain>
`;
}
