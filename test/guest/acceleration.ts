import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import type { GuestParts } from './parts.ts';
import { QEMU } from './qemu.ts';

/** What runs a guest's instructions: the processor, or QEMU's emulation of one. */
export type Acceleration = 'kvm' | 'tcg';

const PRINTS_WITHIN_MS = 5000;
const FIRST_LINE = 'Linux version';

/**
 * KVM where it really runs a stock kernel. /dev/kvm proves nothing: there are machines on which it opens, makes virtual machines and
 * never runs one. So a guest is started and has to print from its own kernel. The answer holds until the machine boots again.
 */
export async function findAcceleration(parts: GuestParts): Promise<Acceleration> {
  const wish = process.env['AQUIFER_GUEST_ACCELERATION'];
  if (wish === 'kvm' || wish === 'tcg') return wish;
  if (!existsSync('/dev/kvm')) return 'tcg';
  const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  const file = `${parts.kernel}.acceleration`;
  const [known, answer] = existsSync(file) ? readFileSync(file, 'utf8').split(' ') : [];
  if (known === boot) return answer === 'kvm' ? 'kvm' : 'tcg';
  const found = (await printsUnderKvm(parts)) ? 'kvm' : 'tcg';
  writeFileSync(file, `${boot} ${found}`);
  return found;
}

async function printsUnderKvm({ kernel, initramfs }: GuestParts): Promise<boolean> {
  const machine = ['-accel', 'kvm', '-M', 'q35', '-cpu', 'host', '-m', '256', '-nodefaults', '-no-user-config'];
  const boot = ['-kernel', kernel, '-initrd', initramfs, '-append', 'console=ttyS0 earlyprintk=ttyS0 panic=-1'];
  const words = [
    '--pdeathsig',
    'KILL',
    QEMU,
    ...machine,
    '-display',
    'none',
    '-no-reboot',
    '-serial',
    'stdio',
    ...boot,
  ];
  const child = spawn('setpriv', words, { stdio: ['ignore', 'pipe', 'ignore'] });
  const ended = once(child, 'close');
  const timer = setTimeout(() => child.kill('SIGKILL'), PRINTS_WITHIN_MS);
  try {
    let printed = '';
    for await (const chunk of child.stdout) {
      printed += String(chunk);
      if (printed.includes(FIRST_LINE)) return true;
    }
    return false;
  } finally {
    clearTimeout(timer);
    child.kill('SIGKILL');
    await ended;
  }
}
