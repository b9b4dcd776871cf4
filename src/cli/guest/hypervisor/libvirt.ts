import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { CommandError } from '../../failure.ts';
import type { Hypervisor } from './hypervisor.ts';
import { aliasOf, deviceXml, hasDevice } from './libvirt-xml.ts';
import { TICKET, VSOCK, type Wish } from './qemu-plan.ts';

const VIRSH_MS = 60_000;
const run = promisify(execFile);

/** A domain of libvirt, by way of virsh. */
export function libvirt(uri: string, domain: string): Hypervisor {
  const virsh = (...words: readonly string[]): Promise<string> => runVirsh(['--connect', uri, ...words]);
  const xmlIfRunning = async (): Promise<string | undefined> =>
    (await virsh('domstate', domain)).trim() === 'shut off' ? undefined : await virsh('dumpxml', domain);
  const missing = async (wish: Wish): Promise<readonly string[]> => {
    const xml = await xmlIfRunning();
    if (xml === undefined) throw new CommandError(`domain ${domain} does not run: start it first`);
    return deviceXml(wish, xml);
  };
  return {
    script: async (wish) => (await missing(wish)).join(''),
    async plug(wish) {
      for (const device of await missing(wish))
        await withFile(device, (file) => virsh('attach-device', domain, file, '--live'));
    },
    async unplug() {
      const xml = (await xmlIfRunning()) ?? '';
      for (const device of [VSOCK, TICKET] as const)
        if (hasDevice(xml, device)) await virsh('detach-device-alias', domain, aliasOf(device), '--live');
    },
    async pluggedIn() {
      const xml = await xmlIfRunning();
      return xml === undefined ? undefined : new Set(devicesIn(xml));
    },
    noVhostUser: () => Promise.resolve('libvirt knows no vhost-user-vsock'),
  };
}

/** A vsock of the domain's own serves as well as ours. */
function devicesIn(xml: string): readonly string[] {
  const hasVsock = /<vsock[ >]/.test(xml);
  return [...(hasDevice(xml, TICKET) ? [TICKET] : []), ...(hasVsock ? [VSOCK] : [])];
}

async function runVirsh(words: readonly string[]): Promise<string> {
  try {
    return (await run('virsh', words, { env: { ...process.env, LC_ALL: 'C' }, timeout: VIRSH_MS })).stdout;
  } catch (cause) {
    const { code, stderr = '' } = cause as { readonly code?: unknown; readonly stderr?: string };
    if (code === 'ENOENT')
      throw new CommandError('virsh is not installed: for a plain QEMU name its monitor with --qmp', { cause });
    const said = stderr
      .trim()
      .replaceAll(/^error: /gm, '')
      .replaceAll('\n', ': ');
    throw new CommandError(`virsh ${words.slice(2).join(' ')}: ${said === '' ? 'it did not answer' : said}`, { cause });
  }
}

async function withFile(text: string, act: (file: string) => Promise<unknown>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'aquifer-device-'));
  try {
    const file = join(directory, 'device.xml');
    writeFileSync(file, text);
    await act(file);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
