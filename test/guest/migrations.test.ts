import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { claim, POOL, programsAtWork, sessionsOf } from '../support/objects.ts';
import type { Serve } from '../support/serve.ts';
import { RUNTIMES, startContainer } from './containers.ts';
import { giveTicket, serveOn, startGuestConnector } from './guest-claim.ts';
import { GuestHost } from './guest-host.ts';
import type { Guest } from './guest.ts';
import { CONTAINER_KERNELS } from './product-disk.ts';

const MIGRATIONS = 20;
const STEPS = '20000';
const NESTED = 'nested: {shares: [{name: half, memory: 512Mi, compute: 50}]}';
const LONG_MS = 600_000;

let host: GuestHost;
let guest: Guest;
let serve: Serve;

beforeAll(async () => {
  host = await GuestHost.up();
  [guest, serve] = await Promise.all([host.boot(), serveOn(host)]);
  const manifest = [POOL, claim('trainer', '1Gi', 100).replace('spec: {', `spec: {${NESTED}, `)].join('---\n');
  expect(await serve.cli(['apply', '-f', '-'], { stdin: manifest })).toMatchObject({ code: 0, stderr: '' });
  await giveTicket(serve, guest, 'trainer');
  await startGuestConnector(guest);
}, LONG_MS);

afterAll(async () => {
  await serve[Symbol.asyncDispose]();
  await host.down();
}, 120_000);

test(
  `two containers compute over ${MIGRATIONS} migrations in a row what one computes that never moved`,
  async () => {
    const device = 'trainer-half';
    const training = `training ${CONTAINER_KERNELS} ${STEPS}`;
    const still = await startContainer(guest, {
      name: 'still',
      runtime: 'crun',
      command: training.split(' '),
      device,
    });
    const { code, output } = await still.ended(LONG_MS);
    expect(code).toBe(0);

    await guest.exec('mkdir -p /run/test');
    const mounts = [{ source: '/run/test', destination: '/run/test' }];
    const command = ['sh', '-c', `until [ -e /run/test/enough ]; do ${training}; done`];
    const moving = await Promise.all(
      RUNTIMES.map((runtime) => startContainer(guest, { name: `moving-${runtime}`, runtime, command, device, mounts })),
    );
    for (let migration = 0; migration < MIGRATIONS; migration += 1) {
      await programsAtWork(serve, 2);
      // Every fifth time the guest stands still for so long that its memory can be copied.
      await guest.migrate(migration % 5 === 4 ? 'stop' : 'shared');
    }
    await programsAtWork(serve, 2);
    await guest.exec('touch /run/test/enough');
    for (const container of moving) {
      const ended = await container.ended(LONG_MS);
      // Each run has a session of its own, and says the same in every digit.
      const runs = ended.output.split('vGPU: ').slice(1);
      expect(ended.code).toBe(0);
      expect(runs.length).toBeGreaterThan(0);
      for (const run of runs) expect(`vGPU: ${run}`).toBe(output);
    }
    expect(await sessionsOf(serve)).toEqual([]);
  },
  LONG_MS,
);
