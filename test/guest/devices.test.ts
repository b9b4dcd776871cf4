import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { eventually } from '../support/eventually.ts';
import { claim, POOL, sessionsOf } from '../support/objects.ts';
import type { Serve } from '../support/serve.ts';
import { RUNTIMES, startContainer, type Runtime } from './containers.ts';
import { giveTicket, serveOn, startGuestConnector } from './guest-claim.ts';
import { GuestHost } from './guest-host.ts';
import type { Guest } from './guest.ts';
import type { Job } from './job.ts';
import { CONTAINER_KERNELS } from './product-disk.ts';

const LONG_MS = 300_000;
const NESTED =
  'nested: {defaultShare: small, shares: [{name: small, memory: 256Mi, compute: 25}, {name: half, memory: 512Mi, compute: 50}]}';

let host: GuestHost;
let guest: Guest;
let serve: Serve;

beforeAll(async () => {
  host = await GuestHost.up();
  [guest, serve] = await Promise.all([host.boot(), serveOn(host)]);
  const divided = claim('trainer', '1Gi', 75).replace('spec: {', `spec: {${NESTED}, `);
  expect(await serve.cli(['apply', '-f', '-'], { stdin: `${POOL}---\n${divided}` })).toMatchObject({ stderr: '' });
  await giveTicket(serve, guest, 'trainer');
  await startGuestConnector(guest);
}, 600_000);

afterAll(async () => {
  await serve?.[Symbol.asyncDispose]();
  await host?.down();
}, 120_000);

/** A container that tells the program of the tests what to do, line by line. */
const asking = (runtime: Runtime, name: string, device: string, ...lines: readonly string[]): Promise<Job> => {
  const told = lines.map((line) => `echo ${line};`).join(' ');
  const command = ['sh', '-c', `{ ${told} } | session ${CONTAINER_KERNELS}`];
  return startContainer(guest, { name, runtime, command, device });
};

test.each(RUNTIMES)(
  'a container of %s has the share that its device names, and no more memory',
  async (runtime) => {
    const small = await asking(runtime, `small-${runtime}`, 'trainer-small', 'histogram', 'alloc 200', 'alloc 200');
    expect(await small.ended(LONG_MS)).toEqual({
      code: 0,
      output: expect.stringMatching(/vGPU: .*\nok\nok\nCUDA_ERROR_OUT_OF_MEMORY\n/),
    });
    const half = await asking(runtime, `half-${runtime}`, 'trainer-half', 'alloc 400');
    expect(await half.ended(LONG_MS)).toMatchObject({ code: 0, output: expect.stringMatching(/vGPU: .*\nok\n/) });
  },
  2 * LONG_MS,
);

test(
  'the claim by its name alone is its default share, and sessions show the container',
  async () => {
    const command = ['sh', '-c', `{ echo alloc 100; sleep 1000; } | session ${CONTAINER_KERNELS}`];
    const job = await startContainer(guest, { name: 'plain', runtime: 'crun', command, device: 'trainer' });
    const [session] = await eventually(
      () => sessionsOf(serve),
      (now) => now.length > 0,
      LONG_MS,
    );
    expect(session?.container).toEqual({ id: 'plain', share: 'small' });
    await guest.exec('crun kill plain KILL');
    await job.ended(LONG_MS);
    await eventually(
      () => sessionsOf(serve),
      (now) => now.length === 0,
      LONG_MS,
    );
  },
  LONG_MS,
);

test(
  'a container without the device that gets hold of the socket has nothing',
  async () => {
    const mounts = [
      { source: '/run/aquifer-connector/sessions', destination: '/run/aquifer' },
      {
        source: '/usr/local/lib/aquifer/client/libcuda.so.1',
        destination: '/usr/lib/x86_64-linux-gnu/libcuda.so.1',
      },
    ];
    const command = ['sh', '-c', `echo echo | session ${CONTAINER_KERNELS}`];
    const thief = await startContainer(guest, { name: 'thief', runtime: 'crun', command, mounts });
    const { code, output } = await thief.ended(LONG_MS);
    expect({ code: code !== 0, output }).toEqual({
      code: true,
      output: expect.stringContaining(
        'this program is in no container that was started with a device aquifer.dev/vgpu',
      ),
    });
  },
  LONG_MS,
);

test(
  'check tells the owner of the guest that all of it works',
  async () => {
    const { code, output } = await guest.attempt('aquifer-connector check');
    expect({ code, output }).toEqual({ code: 0, output: expect.stringContaining('the gateway of gpu-1 is reached') });
    expect(output).not.toContain('FAIL');
  },
  LONG_MS,
);
