import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { vgpuClaimSpecSchema } from '../../src/api/vgpu-claim.ts';
import { eventually } from '../support/eventually.ts';
import { compileExample, compileTestProgram, KERNELS } from '../support/example-programs.ts';
import { POOL, claim, programsAtWork, sessionsOf } from '../support/objects.ts';
import { processesLeft, startServe, type Running, type Serve } from '../support/serve.ts';

jest.setTimeout(60_000);

let serve: Serve;
let directory: string;
let misbehave: string;
let steady: Running;

// While all of this goes wrong, one program computes: it must not notice.
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'aq-bad-'));
  misbehave = compileTestProgram('misbehave', directory);
  serve = await startServe();
  const applied = await serve.cli(['apply', '-f', '-'], {
    stdin: [POOL, claim('steady', '64Mi', 10), claim('clumsy', '1Gi', 40), claim('other', '1Gi', 40)].join('---\n'),
  });
  expect(applied).toMatchObject({ code: 0, stderr: '' });
  steady = serve.start(['run', '--claim', 'steady', '--', compileTestProgram('steady', directory)]);
  await programsAtWork(serve);
});

afterAll(async () => {
  await serve[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true, force: true });
});

describe('an object that is wrong is refused with the path of its field', () => {
  const spec = (text: string): string =>
    `apiVersion: aquifer.dev/v1alpha1\nkind: VGPUClaim\nmetadata: {name: wrong}\nspec: ${text}\n`;
  test.each([
    [
      spec('{poolName: default, resources: {memory: 1Gi, compute: 50}, colour: red}'),
      `The VGPUClaim "wrong" is invalid: spec.colour: unknown field; known here: ${Object.keys(vgpuClaimSpecSchema.shape).join(', ')}\n`,
    ],
    [
      spec('{poolName: default, resources: {memory: 1Gb, compute: 50}}'),
      'The VGPUClaim "wrong" is invalid: spec.resources.memory: must be a quantity of bytes below 8Pi, such as 8Gi, 512Mi or 1.5Gi\n',
    ],
    [
      spec('{poolName: default, resources: {memory: 1Gi, compute: 101}}'),
      'The VGPUClaim "wrong" is invalid: spec.resources.compute: must be at most 100\n',
    ],
    ['apiVersion: v1\nkind: Pod\n', 'error: STDIN, line 1: apiVersion: must be "aquifer.dev/v1alpha1"\n'],
  ])('%s', async (stdin, stderr) => {
    expect(await serve.cli(['apply', '-f', '-'], { stdin })).toEqual({ code: 1, stdout: '', stderr });
  });

  test('YAML that does not parse is refused with its line and column', async () => {
    const refused = await serve.cli(['apply', '-f', '-'], { stdin: 'spec:\n  resources: {memory: 1Gi\n' });
    expect(refused).toMatchObject({ code: 1, stdout: '' });
    expect(refused.stderr).toMatch(/^error: error parsing STDIN: .* at line 3, column 1\n$/);
  });

  test('a claim on a pool that does not exist waits and says for what', async () => {
    const stdin = spec('{poolName: nowhere, resources: {memory: 1Gi, compute: 50}}');
    expect(await serve.cli(['apply', '-f', '-'], { stdin })).toMatchObject({ code: 0 });
    expect(await serve.cli(['run', '--claim', 'wrong', '--timeout', '1s', '--', 'true'])).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(
        /error: claim default\/wrong was not bound in time: pool nowhere does not exist: create it, or name another: default\n$/,
      ),
    });
    expect((await serve.cli(['describe', 'vgpu', 'wrong'])).stdout).toMatch(
      /PoolNotFound .*pool nowhere does not exist/,
    );
    expect(await serve.cli(['delete', 'vgpu', 'wrong'])).toMatchObject({ code: 0 });
  });
});

describe('a command line that is wrong ends with 2, one that cannot be carried out with 1', () => {
  test.each([
    [['frob'], 2, 'error: unknown command "frob" for "aquifer"\nRun \'aquifer --help\' for usage.\n'],
    [['get', '--frob'], 2, "error: unknown flag: --frob\nSee 'aquifer get --help'.\n"],
    [['run', '--', 'true'], 2, 'error: one of --claim NAME and --ticket FILE is needed\n'],
    [['run', '--claim', 'clumsy'], 2, 'error: there is no program to run: it stands behind --\n'],
    [
      ['run', '--claim', 'clumsy', '--', '/no/program'],
      1,
      '/no/program: there is no such program, or it may not be run',
    ],
    [['run', '--claim', 'none', '--', 'true'], 1, 'error: claim default/none does not exist: apply it first\n'],
    [['run', '--ticket', '/no/ticket', '--', 'true'], 1, 'error: the ticket "/no/ticket" cannot be read\n'],
    [['get', 'vgpu', 'none'], 1, 'Error from server (NotFound): vgpuclaims.aquifer.dev "none" not found\n'],
    [['apply', '-f', '/no/file'], 1, 'error: the path "/no/file" does not exist\n'],
    [['sessions', '--data-dir', '/no/where'], 1, 'error: no aquifer serve runs on /no/where'],
  ])('%j', async (words, code, message) => {
    const ran = await serve.cli(words);
    expect(ran).toMatchObject({ code, stdout: '' });
    expect(ran.stderr).toContain(message);
  });
});

describe('serve that cannot start says which setting is wrong', () => {
  test.each(['1xFoo', '0x1Gi', '17x1Gi', '1x1Mi'])('--software-gpus %s', async (setting) => {
    expect(await serve.cli(['serve', '--software-gpus', setting])).toEqual({
      code: 2,
      stdout: '',
      stderr: `error: --software-gpus: must be COUNTxMEMORY such as 2x8Gi: 1 to 16 GPUs of at least 64Mi, not "${setting}"\n`,
    });
  });

  test.each([
    ['listen: 9960', 'listen in FILE: must be a string, not 9960'],
    ['listn: 127.0.0.1:0', 'listn in FILE: unknown setting; did you mean "listen"?'],
    ['agentGracePeriod: soon', 'agentGracePeriod in FILE: must be a time span such as 500ms, 10s or 5m, at most 24h'],
    ['listen: [', 'FILE: is not YAML: '],
    ['- listen', 'FILE: must be a mapping of settings to values'],
  ])('a configuration file with %j', async (content, message) => {
    const file = join(directory, 'config.yaml');
    writeFileSync(file, `${content}\n`);
    const ran = await serve.cli(['serve', '--software-gpus', '1x1Gi', '--config', file]);
    expect(ran).toMatchObject({ code: 2, stdout: '' });
    expect(ran.stderr).toContain(`error: ${message.replace('FILE', file)}`);
  });

  test('a configuration file that is not there', async () => {
    const ran = await serve.cli(['serve', '--config', '/no/config']);
    expect(ran).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('error: /no/config: cannot be read: ENOENT'),
    });
  });

  test('no GPU on this host', async () => {
    const ran = await serve.cli(['serve', '--data-dir', join(directory, 'no-gpu')]);
    expect(ran).toMatchObject({ code: 2, stdout: '' });
    expect(ran.stderr).toMatch(/^error: there is no GPU on this host .*take software GPUs: .*--software-gpus 2x8Gi\n$/);
  });

  test('a data directory that cannot be made, or is a file', async () => {
    const file = join(directory, 'a-file');
    writeFileSync(file, '');
    const start = (dataDir: string) => serve.cli(['serve', '--software-gpus', '1x1Gi', '--data-dir', dataDir]);
    expect(await start('/proc/aquifer')).toEqual({
      code: 1,
      stdout: '',
      stderr:
        "error: the data directory /proc/aquifer cannot be used: ENOENT: no such file or directory, mkdir '/proc/aquifer'; choose another with --data-dir\n",
    });
    expect((await start(file)).stderr).toMatch(/the data directory .*a-file cannot be used: EEXIST/);
  });

  test('a port that another has', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const address = `127.0.0.1:${(other.address() as AddressInfo).port}`;
    const dataDir = join(directory, 'port');
    const ran = await serve.cli(['serve', '--software-gpus', '1x1Gi', '--listen', address, '--data-dir', dataDir]);
    other.close();
    expect(ran).toMatchObject({ code: 1, stdout: '' });
    expect(ran.stderr).toContain('error: the gateway did not start: it ended with exit code 1');
    expect(ran.stderr).toContain(`it said: --listen ${address}: Address already in use`);
    expect(await processesLeft(dataDir)).toEqual([]);
  });
});

describe('a program that does wrong is told so by CUDA', () => {
  const run = (what: string, stdin = '') => serve.cli(['run', '--claim', 'clumsy', '--', misbehave, what], { stdin });

  test('PTX that does not parse: line and column in the log of the JIT compiler', async () => {
    const ptx = '.version 7.0\n.target sm_70\n.address_size 64\n.visible .entry k() {\n  frobnicate.u32 %r1;\n}\n';
    const ran = await run('ptx', ptx);
    expect(ran.stdout).toContain(
      'CUDA_ERROR_INVALID_PTX (218)\nptx error: line 5, column 3: unknown instruction `frobnicate`\n',
    );
    expect(ran.code).toBe(1);
  });

  test('a kernel that reads out of bounds: CUDA_ERROR_ILLEGAL_ADDRESS where it waits', async () => {
    expect((await run('out-of-bounds')).stderr).toBe(
      'cuCtxSynchronize(): CUDA_ERROR_ILLEGAL_ADDRESS (700): an illegal memory access was encountered\n',
    );
  });

  test('a program that exits without cleaning up leaves nothing: the next finds all memory of the claim', async () => {
    for (let i = 0; i < 3; i++) expect(await run('leak')).toMatchObject({ code: 3, stderr: '' });
  });

  test('a kernel that never ends: its program is told when others have waited for 30 s, and they go on', async () => {
    const endless = serve.start(['run', '--claim', 'clumsy', '--', misbehave, 'forever']);
    await once(endless.child.stdout!, 'data');
    const other = await serve.cli([
      'run',
      '--claim',
      'other',
      '--',
      compileExample('matmul', directory),
      KERNELS,
      '64',
    ]);
    expect(other).toMatchObject({ code: 0, stderr: '' });
    expect(await endless.ended).toMatchObject({
      code: 1,
      stderr: `aquifer: the session is over: a kernel ran for more than 30 s while others waited for the GPU
cuCtxSynchronize(): CUDA_ERROR_LAUNCH_TIMEOUT (702): the launch timed out and was terminated
`,
    });
  }, 150_000);

  test('a program that is killed in a kernel that never ends: its worker goes with it', async () => {
    const endless = serve.start(['run', '--claim', 'clumsy', '--', misbehave, 'forever']);
    await eventually(
      () => sessionsOf(serve),
      (now) => now.some((session) => session.claim === 'clumsy'),
    );
    endless.child.kill('SIGKILL');
    expect(await endless.ended).toMatchObject({ code: 137 });
    await eventually(
      () => sessionsOf(serve),
      (now) => now.length === 1,
    );
  });
});

test('nothing of this disturbed the program that computed meanwhile', async () => {
  steady.child.kill('SIGTERM');
  expect(await steady.ended).toMatchObject({
    code: 0,
    stderr: '',
    stdout: expect.stringMatching(/\nsteady: [1-9][0-9]* rounds, 0 wrong\n$/),
  });
});
