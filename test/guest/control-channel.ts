import { randomBytes } from 'node:crypto';
import { connected } from './qmp.ts';

/** What a command in the guest did. */
export interface GuestRan {
  readonly code: number;
  /** Standard output and standard error together. */
  readonly output: string;
}

/** Runs one command line of a shell in the guest behind this socket. @throws Error when no answer comes in time. */
export async function runInGuest(path: string, command: string, timeoutMs: number): Promise<GuestRan> {
  const socket = await connected(path);
  if (socket === undefined) throw new Error(`nobody listens at ${path}: has QEMU ended?`);
  const id = randomBytes(6).toString('hex');
  const answer = new RegExp(`@${id} (\\d+) (\\S*)\n`);
  const late = new Error(`no answer from the guest in ${timeoutMs} ms to: ${command}`);
  const timer = setTimeout(() => socket.destroy(late), timeoutMs);
  try {
    socket.write(`\n${id} ${Buffer.from(command).toString('base64')}\n`);
    let received = '';
    for await (const chunk of socket) {
      received += String(chunk);
      const [, code, output = ''] = answer.exec(received) ?? [];
      if (code !== undefined) return { code: Number(code), output: Buffer.from(output, 'base64').toString() };
    }
    throw new Error(`QEMU ended before the guest answered: ${command}`);
  } finally {
    clearTimeout(timer);
    socket.destroy();
  }
}
