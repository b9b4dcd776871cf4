/** `make demo`: everything that Aquifer does on one host, step by step, on a GPU made of software. Leaves nothing running. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SessionView } from '../src/api/session-view.ts';
import { compileExample, KERNELS } from '../test/support/example-programs.ts';
import { eventually } from '../test/support/eventually.ts';
import { processesLeft, startServe, type Ran, type Serve } from '../test/support/serve.ts';
import { ensure, say, sayCommand, sayOutput, show } from './demo/narrator.ts';

const MEASURE_MS = 5000;
const claim = (name: string, memory: string, compute: number): string =>
  JSON.stringify({
    apiVersion: 'aquifer.dev/v1alpha1',
    kind: 'VGPUClaim',
    metadata: { name },
    spec: { poolName: 'default', resources: { memory, compute } },
  });

/** Runs a command as a user would type it, and shows it with what it says. */
async function type(serve: Serve, words: readonly string[], stdin?: string): Promise<Ran> {
  sayCommand(words);
  const ran = await serve.cli(words.slice(1), stdin === undefined ? {} : { stdin });
  sayOutput(ran.stdout + ran.stderr);
  return ran;
}

async function sessionsOf(serve: Serve): Promise<readonly SessionView[]> {
  const { stdout } = await serve.cli(['sessions', '-o', 'json']);
  return (JSON.parse(stdout) as { readonly items: readonly SessionView[] }).items;
}

async function twoPrograms(serve: Serve, matmul: string): Promise<void> {
  const shares = [
    ['trainer', 30],
    ['renderer', 60],
  ] as const;
  const seconds = String(MEASURE_MS / 1000 + 7);
  const running = shares.map(([name]) => serve.start(['run', '--claim', name, '--', matmul, KERNELS, '64', seconds]));
  // They compute, and what their claims had saved up before is used.
  await eventually(
    () => sessionsOf(serve),
    (sessions) => shares.every(([name, percent]) => busyOf(sessions, name) > 5e6 * percent),
  );
  const before = await usageNow(serve);
  await sleep(MEASURE_MS);
  const after = await usageNow(serve);
  await type(serve, ['aquifer', 'sessions']);
  for (const [name, percent] of shares) {
    const busyNs = busyOf(after.sessions, name) - busyOf(before.sessions, name);
    const measured = busyNs / 1e4 / (after.at - before.at);
    say(
      `  ${name.padEnd(8)} may use ${percent} % of the GPU's time and used ${measured.toFixed(1)} %, by the account of its time`,
    );
    // A share is a cap: where other programs keep this host busy, the GPU made of software gets less.
    ensure(measured > 0 && measured <= percent + 3, `${name} was not held to its share`);
  }
  for (const { ended } of running) ensure((await ended).code === 0, 'a program failed');
}

/** The accounts and the moment in which they were read: the middle of the call, which takes a while. */
async function usageNow(serve: Serve): Promise<{ readonly at: number; readonly sessions: readonly SessionView[] }> {
  const from = performance.now();
  const sessions = await sessionsOf(serve);
  return { at: (from + performance.now()) / 2, sessions };
}

const busyOf = (sessions: readonly SessionView[], claimed: string): number =>
  sessions
    .filter((session) => session.claim === claimed)
    .reduce((sum, { vgpus }) => sum + Number(vgpus[0]?.busyNs ?? 0), 0);

async function fromAnotherHost(serve: Serve, matmul: string, directory: string): Promise<void> {
  const ticket = join(directory, 'ticket.json');
  say(`  $ aquifer ticket trainer > ${ticket}`);
  writeFileSync(ticket, (await serve.cli(['ticket', 'trainer'])).stdout);
  // Another host has nothing of this one but the ticket: neither its data directory nor its keys.
  const env = { AQUIFER_DATA_DIR: join(directory, 'no-serve-here'), XDG_STATE_HOME: join(directory, 'other-host') };
  say(`  other-host$ aquifer run --ticket ${ticket} -- ${matmul} examples/kernels 64 2`);
  const { ended } = serve.start(['run', '--ticket', ticket, '--', matmul, KERNELS, '64', '2'], { env });
  const [session] = await eventually(
    () => sessionsOf(serve),
    (sessions) => sessions.length > 0,
  );
  await type(serve, ['aquifer', 'sessions']);
  const { code, stdout } = await ended;
  sayOutput(stdout);
  ensure(code === 0 && session?.channel === 'tcp', 'the program did not run through TLS');
}

async function demo(directory: string): Promise<string> {
  show('Two ordinary CUDA programs are compiled: they know nothing of Aquifer.');
  const [matmul, histogram] = [compileExample('matmul', directory), compileExample('histogram', directory)];
  say(`  $ cc -O2 -o matmul examples/matmul.c -ldl -lm; cc -O2 -o histogram examples/histogram.c -ldl -lm`);

  show('aquifer serve pools the GPUs of this host; here one that is made of software.');
  await using serve = await startServe({ softwareGpus: '1x8Gi' });
  say('  $ aquifer serve --software-gpus 1x8Gi &');
  say(
    `  ${
      serve
        .output()
        .split('\n')
        .find((line) => line.includes('is ready')) ?? ''
    }`,
  );

  show('A pool and two claims are applied: each claim gets a vGPU, a part of the GPU.');
  ensure(
    (await type(serve, ['aquifer', 'apply', '-f', 'examples/pool.yaml', '-f', 'examples/claim.yaml'])).code === 0,
    'apply',
  );
  await type(serve, ['aquifer', 'apply', '-f', '-'], claim('renderer', '1Gi', 60));
  await serve.cli(['run', '--claim', 'renderer', '--', 'true']); // Returns once the claim is bound.
  await type(serve, ['aquifer', 'get', 'gpool,gnode,vgpu']);

  show('An unchanged program computes on its vGPU and checks the result against the CPU.');
  const ran = await type(serve, ['aquifer', 'run', '--claim', 'trainer', '--', matmul, 'examples/kernels', '256']);
  ensure(ran.code === 0, 'the matrix product');
  const counted = await type(serve, ['aquifer', 'run', '--claim', 'trainer', '--', histogram, 'examples/kernels']);
  ensure(counted.code === 0, 'the histogram');

  show('Two programs on two claims share the GPU at the same time, each held to its compute share.');
  await twoPrograms(serve, matmul);

  show('A claim that does not fit waits, and says why.');
  await type(serve, ['aquifer', 'apply', '-f', '-'], claim('huge', '7Gi', 10));
  const refused = await type(serve, [
    'aquifer',
    'run',
    '--claim',
    'huge',
    '--timeout',
    '3s',
    '--',
    matmul,
    'examples/kernels',
  ]);
  ensure(refused.code === 1, 'the claim that does not fit was not refused');

  show('The same program runs from another host, over TLS, with a ticket.');
  await fromAnotherHost(serve, matmul, directory);

  show('Deleting the claims gives everything back.');
  await type(serve, ['aquifer', 'delete', 'vgpu', '--all']);
  const promised = () => serve.cli(['get', 'gpool', 'default', '-o', 'yaml']);
  await eventually(promised, ({ stdout }) => /promised:\n\s+compute: 0\n\s+memory: "?0"?\n/.test(stdout));
  await type(serve, ['aquifer', 'get', 'gpool']);
  return serve.dataDir;
}

const started = performance.now();
process.chdir(new URL('..', import.meta.url).pathname);
const directory = mkdtempSync(join(tmpdir(), 'aq-demo-'));
try {
  const dataDir = await demo(directory);
  show('serve is stopped, and nothing is left running.');
  const left = await processesLeft(dataDir);
  ensure(left.length === 0, `still running: ${left.join(', ')}`);
  say(`  done in ${((performance.now() - started) / 1000).toFixed(0)} s`);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
} finally {
  rmSync(directory, { recursive: true, force: true });
}
