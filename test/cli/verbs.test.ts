import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SessionView } from '../../src/api/session-view.ts';
import { VERSION } from '../../src/lib/version.ts';
import { commandLineFixture, type CommandLineFixture } from '../support/command-line-fixture.ts';

const CLAIM = {
  apiVersion: 'aquifer.dev/v1alpha1',
  kind: 'VGPUClaim',
  metadata: { name: 'trainer', namespace: 'default' },
  spec: { poolName: 'default', resources: { memory: '2Gi', compute: 30 } },
};

let fixture: CommandLineFixture;
beforeEach(async () => {
  fixture = await commandLineFixture();
});
afterEach(async () => fixture[Symbol.asyncDispose]());

describe('the command line', () => {
  test.each([
    [
      ['gte', 'vgpu'],
      'error: unknown command "gte" for "aquifer"; did you mean "get"?\nRun \'aquifer --help\' for usage.\n',
    ],
    [
      ['get', 'vgpu', '--namespac', 'a'],
      "error: unknown flag: --namespac; did you mean --namespace?\nSee 'aquifer get --help'.\n",
    ],
    [['get', 'vgpu', '-x'], "error: unknown flag: -x\nSee 'aquifer get --help'.\n"],
    [['get', 'vgpu', '-n'], 'error: flag needs an argument: --namespace NAMESPACE\n'],
    [
      ['get', 'vgpu', '-o', 'jsn'],
      'error: unable to match a printer for output form "jsn": allowed are wide, json, yaml, name; did you mean json?\n',
    ],
    [
      ['delete', 'vgpu', 'a', '--wait=perhaps'],
      'error: invalid argument "perhaps" for --wait: must be true or false\n',
    ],
    [['get'], 'error: You must specify the type of resource to get. Types: gpupools, gpunodes, vgpuclaims.\n'],
    [['apply'], 'error: must specify a manifest with -f FILE\n'],
    [['run', '--claim', 'a'], 'error: there is no program to run: it stands behind --\n'],
    [['run', '--', './x'], 'error: one of --claim NAME and --ticket FILE is needed\n'],
    [
      ['run', '--claim', 'a', './x'],
      'error: unexpected argument "./x": the program and its arguments stand behind --\n',
    ],
    [['ticket'], 'error: exactly one claim is needed: aquifer ticket NAME\n'],
    [
      ['ticket', 'a', '--expires', 'soon'],
      'error: invalid argument "soon" for --expires: a time of at least 1s, such as 10m\n',
    ],
  ])('%j is refused with exit code 2', async (words, stderr) => {
    expect(await fixture.run(words)).toEqual({ code: 2, stdout: '', stderr });
  });

  test('flags may be written in every way that kubectl has', async () => {
    await fixture.run(['apply', '-f', '-'], { stdin: JSON.stringify(CLAIM) });
    const forms = [['-ojson'], ['-o=json'], ['-o', 'json'], ['--output=json'], ['--output', 'json']];
    const ran = await Promise.all(forms.map((form) => fixture.run(['get', 'vgpu', 'trainer', ...form])));
    expect(new Set(ran.map(({ stdout }) => stdout)).size).toBe(1);
    expect(ran[0]?.code).toBe(0);
  });

  test('--help of the program lists every verb, and of a verb its flags', async () => {
    const { stdout, code } = await fixture.run(['--help']);
    expect(code).toBe(0);
    for (const verb of ['serve', 'apply', 'get', 'describe', 'delete', 'run', 'sessions', 'ticket', 'version']) {
      expect(stdout).toMatch(new RegExp(`^ {2}${verb} `, 'm'));
    }
    expect((await fixture.run(['get', '--help'])).stdout).toMatch(
      /^ {2}-n, --namespace NAMESPACE +Namespace of the objects \(default default\)$/m,
    );
  });

  test('without a serve it says how to start one', async () => {
    const ran = await fixture.run(['get', 'vgpu', '--data-dir', '/nowhere']);
    expect(ran).toEqual({
      code: 1,
      stdout: '',
      stderr:
        "error: no aquifer serve runs on /nowhere: start one with 'aquifer serve', or say which with --data-dir\n",
    });
  });
});

describe('run', () => {
  test('waits for the claim, says why, and becomes the program', async () => {
    await fixture.store.create('VGPUClaim', CLAIM);
    const running = fixture.run(['run', '--claim', 'trainer', '--', 'sh', '-c', 'exit 3']);
    setTimeout(() => void fixture.bind('default', 'trainer'), 60);
    await running;
    expect(fixture.executed).toEqual([
      {
        file: expect.stringMatching(/\/bin\/sh$/),
        args: ['sh', '-c', 'exit 3'],
        env: {
          PATH: '/usr/bin:/bin',
          AQUIFER_SOCKET: '/sockets/default.trainer.sock',
          LD_LIBRARY_PATH: '/prefix/lib/aquifer/client',
        },
      },
    ]);
  });

  test('--timeout ends the wait with the reason', async () => {
    await fixture.store.create('VGPUClaim', CLAIM);
    const condition = {
      type: 'Bound',
      status: 'False',
      reason: 'InsufficientMemory',
      message: 'needs 2Gi on one GPU; the most free is 1Gi, on GPU-1 of gpu-1',
      lastTransitionTime: '2026-01-31T12:00:00Z',
    };
    await fixture.store.patch(
      'VGPUClaim',
      { namespace: 'default', name: 'trainer' },
      { status: { phase: 'Pending', conditions: [condition] } },
      { subresource: 'status' },
    );
    expect(await fixture.run(['run', '--claim', 'trainer', '--timeout', '50ms', '--', 'true'])).toEqual({
      code: 1,
      stdout: '',
      stderr:
        'error: claim default/trainer was not bound in time: needs 2Gi on one GPU; the most free is 1Gi, on GPU-1 of gpu-1\n',
    });
  });

  test('a claim that does not exist, and a program that does not, are errors', async () => {
    expect((await fixture.run(['run', '--claim', 'nobody', '--', 'true'])).stderr).toBe(
      'error: claim default/nobody does not exist: apply it first\n',
    );
    await fixture.store.create('VGPUClaim', CLAIM);
    await fixture.bind('default', 'trainer');
    expect((await fixture.run(['run', '--claim', 'trainer', '--', './nowhere'])).stderr).toBe(
      'error: ./nowhere: there is no such program, or it may not be run\n',
    );
    expect(fixture.executed).toEqual([]);
  });
});

describe('ticket', () => {
  test('prints the ticket file as JSON', async () => {
    const { stdout, code } = await fixture.run(['ticket', 'trainer', '--for', 'KEY', '--expires', '10m']);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ kind: 'Ticket', ticket: 'jws KEY 600' });
  });

  test('names the addresses that were asked for', async () => {
    const { stdout } = await fixture.run(['ticket', 'trainer', '--address', 'vsock:2:9960', '--address', 'h:1']);
    expect(JSON.parse(stdout)).toMatchObject({ endpoints: [{ address: 'vsock:2:9960' }, { address: 'h:1' }] });
  });

  test.each(['h', 'vsock:9960', 'unix:relative', 'h:x'])('refuses the address %s', async (address) => {
    const { stderr, code } = await fixture.run(['ticket', 'trainer', '--address', address]);
    expect(code).toBe(1);
    expect(stderr).toContain('addresses.0: must be host:port, vsock:CID:PORT or unix:/path');
  });

  test('a claim that does not exist is the error of the server', async () => {
    expect((await fixture.run(['ticket', 'nobody'])).stderr).toBe(
      'Error from server (NotFound): vgpuclaims.aquifer.dev "nobody" not found\n',
    );
  });
});

describe('sessions', () => {
  test('shows what each program uses and may use', async () => {
    const session: SessionView = {
      session: '0123456789abcdef0123456789abcdef',
      namespace: 'default',
      claim: 'trainer',
      pid: 4711,
      program: './train',
      channel: 'unix',
      state: 'Connected',
      resumes: 0,
      startedAt: '2026-01-31T12:00:00Z',
      vgpus: [
        {
          gpu: 'GPU-1',
          memoryBytes: 3 * 2 ** 20,
          memoryLimitBytes: 2 ** 31,
          computePercent: 30,
          utilizationPercent: 28.6,
          busyNs: '1',
        },
      ],
    };
    const remote: SessionView = {
      ...session,
      session: 'f'.repeat(32),
      channel: 'tcp',
      state: 'Disconnected',
      resumes: 2,
    };
    fixture.sessions.push(session, remote);
    fixture.setTime(42);
    expect((await fixture.run(['sessions'])).stdout).toBe(
      [
        'CLAIM     SESSION        PID    PROGRAM   CHANNEL      MEMORY    COMPUTE   AGE',
        'trainer   0123456789ab   4711   ./train   unix         3Mi/2Gi   29%/30%   42s',
        'trainer   ffffffffffff   4711   ./train   tcp (lost)   3Mi/2Gi   29%/30%   42s',
        '',
      ].join('\n'),
    );
    expect((await fixture.run(['sessions', 'other'])).stdout).toBe('');
    expect((await fixture.run(['sessions', '-n', 'other'])).stderr).toBe('No sessions in other namespace.\n');
  });
});

describe('version', () => {
  test('is the one of package.json, for client and server, and says what is supported', async () => {
    const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { readonly version: string };
    expect(version).toBe(VERSION);
    const { stdout } = await fixture.run(['version']);
    expect(stdout).toBe(
      `Client Version: ${VERSION}\nServer Version: ${VERSION}\nSupports: driver-API programs only: programs on the CUDA runtime (libcudart) come later\n`,
    );
  });

  test('is told without a serve too', async () => {
    const ran = await fixture.run(['version', '--data-dir', '/nowhere']);
    expect(ran.code).toBe(0);
    expect(ran.stdout).not.toContain('Server Version');
  });
});

test('a manifest file is read where -f names it', async () => {
  const file = join(fixture.directory, 'claim.json');
  writeFileSync(file, JSON.stringify(CLAIM));
  expect((await fixture.run(['apply', '-f', file])).stdout).toBe('vgpuclaim.aquifer.dev/trainer created\n');
});
