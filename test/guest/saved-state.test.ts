import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { claim, POOL } from '../support/objects.ts';
import type { Serve } from '../support/serve.ts';
import { giveTicket, offerClaim, serveOn } from './guest-claim.ts';
import { GuestHost } from './guest-host.ts';
import { startGuestProgram } from './guest-program.ts';
import type { Guest } from './guest.ts';

const LONG_MS = 600_000;

let host: GuestHost;
let guest: Guest;
let serve: Serve;

beforeAll(async () => {
  host = await GuestHost.up();
  [guest, serve] = await Promise.all([host.boot(), serveOn(host)]);
  const manifest = [POOL, claim('trainer', '1Gi', 75)].join('---\n');
  expect(await serve.cli(['apply', '-f', '-'], { stdin: manifest })).toMatchObject({ code: 0, stderr: '' });
  await giveTicket(serve, guest, 'trainer');
}, LONG_MS);

afterAll(async () => {
  await serve[Symbol.asyncDispose]();
  await host.down();
}, 120_000);

test(
  'of two guests restored from one saved state the first goes on, and the other is told that its session is gone',
  async () => {
    const socket = await offerClaim(guest);
    const program = await startGuestProgram(guest, 'saved', socket);
    expect(await program.ask('histogram')).toBe('ok');
    const file = join(host.state, 'saved');
    await guest.save(file);

    await guest.restore(file);
    for (let times = 0; times < 3; times += 1) expect(await program.ask('histogram')).toBe('ok');

    // The same moment again, of which the worker knows what came after it.
    await guest.restore(file);
    rmSync(file);
    expect(await program.ask('histogram')).toBe('CUDA_ERROR_DEVICE_UNAVAILABLE');
    const another = await startGuestProgram(guest, 'another', socket);
    expect(await another.ask('histogram')).toBe('ok');
  },
  LONG_MS,
);
