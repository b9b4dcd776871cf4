import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '../support/eventually.ts';
import { compileExample, KERNELS } from '../support/example-programs.ts';
import { claim, programsAtWork, POOL, promisedBy, sessionsOf } from '../support/objects.ts';
import { startServe, type Serve } from '../support/serve.ts';

let serve: Serve;
let directory: string;
let matmul: string;
let histogram: string;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'aq-e2e-'));
  [matmul, histogram] = [compileExample('matmul', directory), compileExample('histogram', directory)];
  serve = await startServe();
  const applied = await serve.cli(['apply', '-f', '-'], { stdin: `${POOL}---\n${claim('trainer', '1Gi', 60)}` });
  expect(applied).toMatchObject({ code: 0, stderr: '' });
}, 60_000);

afterAll(async () => {
  await serve[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true, force: true });
}, 60_000);

test('an unchanged program computes on the vGPU of a claim', async () => {
  const ran = await serve.cli(['run', '--claim', 'trainer', '--', matmul, KERNELS, '96']);
  expect(ran).toMatchObject({ code: 0, stderr: '' });
  expect(ran.stdout).toMatch(
    /^vGPU: .*, GPU-[0-9a-f-]{36}, 1\.0 GiB\nmatmul: 1 products of 96 x 96 in .* s, 0 wrong\n$/,
  );
  expect(await serve.cli(['run', '--claim', 'trainer', '--', histogram, KERNELS])).toMatchObject({ code: 0 });
}, 60_000);

test.each([
  { from: 'on another host', flags: () => [], channel: 'tcp' },
  // The program in a guest is a process of this host here; a vhost-user-vsock process connects to the same socket for it.
  { from: 'in a guest', flags: () => ['--address', `unix:${serve.dataDir}/run/vsock.sock`], channel: 'vsock' },
])(
  'the same program computes through TLS with a ticket, as $from',
  async ({ flags, channel: expected }) => {
    const ticket = join(directory, 'ticket.json');
    writeFileSync(ticket, (await serve.cli(['ticket', 'trainer', ...flags()])).stdout);
    const elsewhere = { XDG_STATE_HOME: join(directory, 'other-host'), AQUIFER_DATA_DIR: '/nonexistent' };
    const running = serve.start(['run', '--ticket', ticket, '--', matmul, KERNELS, '64', '3'], { env: elsewhere });
    expect((await programsAtWork(serve)).map(({ channel }) => channel)).toEqual([expected]);
    const ran = await running.ended;
    expect(ran.stdout).toMatch(/0 wrong\n$/);
    expect(ran.code).toBe(0);
  },
  60_000,
);

test('the exit code and the signals of the program are its own', async () => {
  expect(await serve.cli(['run', '--claim', 'trainer', '--', 'sh', '-c', 'exit 7'])).toMatchObject({ code: 7 });
  expect(await serve.cli(['run', '--claim', 'trainer', '--', 'sh', '-c', 'kill -9 $$'])).toMatchObject({ code: 137 });
  // A shell that ignores SIGPIPE would say that it could not write; one that does not ends at once.
  const piped = await serve.cli(['run', '--claim', 'trainer', '--', 'sh', '-c', 'yes | head -n 1']);
  expect(piped).toEqual({ code: 0, stdout: 'y\n', stderr: '' });
}, 60_000);

test('a second serve on the same data directory names the first', async () => {
  const second = await serve.cli(['serve', '--software-gpus', '1x4Gi']);
  expect(second.code).toBe(1);
  expect(second.stderr).toContain(`is in use by process ${serve.pid}`);
}, 30_000);

test('a claim that is deleted ends its program with a CUDA error and gives everything back', async () => {
  const running = serve.start(['run', '--claim', 'trainer', '--', matmul, KERNELS, '64', '30']);
  expect((await programsAtWork(serve)).map(({ channel }) => channel)).toEqual(['unix']);
  expect(await serve.cli(['delete', 'vgpu', 'trainer'])).toMatchObject({ code: 0 });
  const ran = await running.ended;
  expect(ran.stderr).toContain('CUDA_ERROR_DEVICE_UNAVAILABLE (46)');
  expect(await channels(serve)).toEqual([]);
  await eventually(
    () => promisedBy(serve),
    ({ memory }) => memory === '0',
  );
}, 60_000);

async function channels(of: Serve): Promise<readonly string[]> {
  return (await sessionsOf(of)).map(({ channel }) => channel);
}
