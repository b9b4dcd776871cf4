import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { resolve } from 'node:path';
import { eventually } from '../support/eventually.ts';
import { claim, POOL, sessionsOf } from '../support/objects.ts';
import { runProgram, type Running, type Serve } from '../support/serve.ts';
import { startContainer } from './containers.ts';
import { giveTicket, serveOn } from './guest-claim.ts';
import { GuestHost } from './guest-host.ts';
import type { Guest } from './guest.ts';
import { ensureGuestParts } from './parts.ts';
import { CONTAINER_KERNELS } from './product-disk.ts';

const IMAGES = resolve(import.meta.dirname, '../../build/images');
const PORT = 8000;
const LONG_MS = 600_000;
/** What the connector shares with the guest, whose processes and cgroups it has to see. */
const FOLDERS = ['/etc/aquifer', '/etc/cdi', '/opt/aquifer', '/run/aquifer-connector', '/var/lib/aquifer-connector'];

let host: GuestHost;
let guest: Guest;
let serve: Serve;
let files: Running;

beforeAll(async () => {
  host = await GuestHost.up({ memoryMiB: 384 });
  [guest, serve] = await Promise.all([host.boot(), serveOn(host)]);
  const [enter = '', ...words] = host.enter;
  const server = [ensureGuestParts().busybox, 'httpd', '-f', '-p', `${host.address}:${PORT}`, '-h', IMAGES];
  files = runProgram(enter, [...words, ...server]);
  const manifest = [POOL, claim('trainer', '1Gi', 75)].join('---\n');
  expect(await serve.cli(['apply', '-f', '-'], { stdin: manifest })).toMatchObject({ code: 0, stderr: '' });
  await giveTicket(serve, guest, 'trainer');
}, LONG_MS);

afterAll(async () => {
  files.child.kill();
  await serve[Symbol.asyncDispose]();
  await host.down();
}, 120_000);

test(
  'the connector of the image serves the containers beside it',
  async () => {
    const fetched = await guest.exec(
      `cd /run && wget -q http://${host.address}:${PORT}/guest.tar && podman load -q -i guest.tar`,
      LONG_MS,
    );
    const image = fetched.trim().split(' ').at(-1) ?? '';
    const mounts = FOLDERS.map((folder) => `--volume ${folder}:${folder}`).join(' ');
    const shared =
      '--pid host --cgroupns host --network host --read-only --cap-drop all --security-opt no-new-privileges';
    await guest.exec(
      `mkdir -p ${FOLDERS.join(' ')} && podman run -d --name connector ${shared} ${mounts} ${image}`,
      LONG_MS,
    );
    await eventually(
      () => guest.exec('podman logs connector 2>&1', LONG_MS),
      (said) => / ready /.test(said),
      LONG_MS,
    );
    expect(await guest.exec('cat /etc/cdi/*')).not.toContain('/usr/local');
    const command = ['matmul', CONTAINER_KERNELS, '64'];
    const nested = await startContainer(guest, { name: 'nested', runtime: 'podman', command, device: 'trainer' });
    expect(await nested.ended(LONG_MS)).toEqual({ code: 0, output: expect.stringMatching(/ 0 wrong/) as unknown });
    expect(await sessionsOf(serve)).toEqual([]);
  },
  LONG_MS,
);
