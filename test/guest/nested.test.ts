import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { claim, POOL, sessionsOf } from '../support/objects.ts';
import type { Serve } from '../support/serve.ts';
import { clientMounts, RUNTIMES, startContainer } from './containers.ts';
import { giveClaim, serveOn, SESSION_SOCKET } from './guest-claim.ts';
import { GuestHost } from './guest-host.ts';
import type { Guest } from './guest.ts';
import { CONTAINER_KERNELS } from './product-disk.ts';

let host: GuestHost;
let guest: Guest;
let serve: Serve;

beforeAll(async () => {
  host = await GuestHost.up();
  [guest, serve] = await Promise.all([host.boot(), serveOn(host)]);
  const manifest = [POOL, claim('trainer', '1Gi', 75)].join('---\n');
  expect(await serve.cli(['apply', '-f', '-'], { stdin: manifest })).toMatchObject({ code: 0, stderr: '' });
  await giveClaim(serve, guest, 'trainer');
}, 600_000);

afterAll(async () => {
  await serve[Symbol.asyncDispose]();
  await host.down();
}, 120_000);

test('two containers without a network, by crun and by podman, compute on one claim', async () => {
  const mounts = clientMounts(SESSION_SOCKET);
  const command = ['matmul', CONTAINER_KERNELS, '64', '3'];
  const containers = await Promise.all(
    RUNTIMES.map((runtime) => startContainer(guest, { name: `matmul-${runtime}`, runtime, command, mounts })),
  );
  for (const container of containers) {
    expect(await container.ended(300_000)).toEqual({
      code: 0,
      output: expect.stringMatching(/products of .* 0 wrong/),
    });
  }
  expect(await sessionsOf(serve)).toEqual([]);
}, 600_000);
