import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { eventually } from '../support/eventually.ts';
import { PREFIX, processesLeft } from '../support/serve.ts';
import { GuestHost } from './guest-host.ts';
import type { Guest } from './guest.ts';
import { PROGRAMS_IMAGE } from './product-disk.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const LONG_MS = 600_000;
let host: GuestHost;
let guest: Guest;
let home: string;

beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), 'aq-page-'));
  host = await GuestHost.up({ init: 'systemd' });
  guest = await host.boot();
  // As a guest is that knows nothing of Aquifer: what the harness put there for others goes elsewhere.
  await guest.exec(
    'mkdir /run/disk && mount --bind /usr/local /run/disk && umount /usr/local && mount -t tmpfs none /usr/local',
  );
  await guest.exec('podman load --quiet --input /run/disk/share/programs.tar', LONG_MS);
  await letIn();
}, LONG_MS);

afterAll(async () => {
  await host.down();
  rmSync(home, { recursive: true, force: true });
}, 120_000);

/** A host whose root may log in to the guest. */
async function letIn(): Promise<void> {
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(home, 'key')]);
  await guest.write('/root/.ssh/authorized_keys', readFileSync(join(home, 'key.pub')));
  const settings = ['StrictHostKeyChecking no', `UserKnownHostsFile ${home}/known`, `IdentityFile ${home}/key`];
  writeFileSync(join(home, 'ssh.conf'), `Host *\n${settings.join('\n')}\nLogLevel ERROR\n`);
  mkdirSync(join(home, 'bin'));
  writeFileSync(join(home, 'bin/ssh'), `#!/bin/sh\nexec /usr/bin/ssh -F ${home}/ssh.conf "$@"\n`, { mode: 0o755 });
}

const page = (): string => readFileSync(join(ROOT, 'docs/guests.md'), 'utf8');

/** The lines of the page, those of the host and those of the guest. */
function blocks(): readonly (readonly string[])[] {
  return [...page().matchAll(/```sh\n([^`]*)```/g)].map(([, block = '']) => block.trim().split('\n'));
}

/** What the page has a user type to remove it leaves what others have. */
async function isRemoved(): Promise<void> {
  const [typed = ''] = /^ {4}systemctl disable(.*\n {4}.*)*/m.exec(page()) ?? [];
  await guest.write('/etc/cdi/other.json', '{}');
  await guest.exec(`set -e; ${typed}`);
  expect(await guest.exec('ls /etc/cdi')).toBe('other.json\n');
  const left = "find / /run -xdev \\( -path /proc -o -path '/run/disk' \\) -prune -o -name '*aquifer*' -print";
  expect(await guest.exec(left)).toBe('');
  expect((await guest.attempt('grep -h aquifer /proc/[0-9]*/comm 2>/dev/null')).output).toBe('');
}

test(
  'what docs/guests.md has a user type leads to a container that computes',
  async () => {
    const [onHost = [], inGuest = [], ...more] = blocks();
    expect(more).toEqual([]);
    expect(onHost.length + inGuest.length).toBeLessThanOrEqual(10);
    const env = {
      PATH: `${home}/bin:${PREFIX}/bin:${process.env['PATH'] ?? ''}`,
      HOME: home,
      HOST: host.address,
      GUEST: guest.address,
      AQUIFER_SOFTWARE_GPUS: '1x4Gi',
    };
    const [command, ...words] = [...host.enter, 'bash', '--norc'] as const;
    const shell = spawn(command, words, { cwd: ROOT, env });
    const ended = once(shell, 'exit');
    let said = '';
    for (const stream of [shell.stdout, shell.stderr]) stream.on('data', (chunk: Buffer) => (said += chunk.toString()));
    const says = (what: string): Promise<string> =>
      eventually(
        () => said,
        (text) => text.includes(what),
        LONG_MS,
      );
    const type = async (line: string, name: string): Promise<void> => {
      shell.stdin.write(`${line}\necho "${name}: code $?"\n`);
      const text = await says(`${name}: code `);
      if (!text.includes(`${name}: code 0\n`)) throw new Error(`${line}\n${text}`);
      if (/&\s*(#|$)/.test(line)) await says('aquifer is ready');
    };
    try {
      for (const [step, line] of onHost.entries()) await type(line, `step ${step}`);
      const image = `${PROGRAMS_IMAGE} matmul /usr/local/share/kernels 64`;
      const outputs = [];
      for (const line of inGuest) outputs.push(await guest.exec(`IMAGE='${image}'; ${line}`, LONG_MS));
      expect(outputs.at(-1)).toMatch(/1 products of 64 x 64 in .* 0 wrong/);
      await type('aquifer sessions --output wide', 'sessions');
      // As systemd has it: the unit says nothing that it does not know, and has run since without a fault.
      expect(await guest.exec('systemd-analyze verify /etc/systemd/system/aquifer-connector.service 2>&1')).toBe('');
      expect(await guest.exec('systemctl show --property ActiveState,NRestarts aquifer-connector')).toBe(
        'NRestarts=0\nActiveState=active\n',
      );
      await isRemoved();
    } finally {
      shell.stdin.write('kill %1 2>&-; wait; exit\n');
      await ended;
    }
    expect(await processesLeft(join(home, '.local/state/aquifer'))).toEqual([]);
  },
  LONG_MS,
);
