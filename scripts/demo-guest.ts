/**
 * `make demo-guest`: a KVM guest without a GPU whose nested containers compute on one claim, each on its share, while it migrates.
 * Leaves nothing running.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SessionView } from '../src/api/session-view.ts';
import { startContainer, type Runtime } from '../test/guest/containers.ts';
import { giveTicket, serveOn, startGuestConnector } from '../test/guest/guest-claim.ts';
import { GuestHost } from '../test/guest/guest-host.ts';
import type { Guest } from '../test/guest/guest.ts';
import type { Job } from '../test/guest/job.ts';
import { CONTAINER_KERNELS } from '../test/guest/product-disk.ts';
import { eventually } from '../test/support/eventually.ts';
import { compileExample, KERNELS } from '../test/support/example-programs.ts';
import { POOL, sessionsOf } from '../test/support/objects.ts';
import type { Serve } from '../test/support/serve.ts';
import { ensure, say, sayCommand, sayOutput, show } from './demo/narrator.ts';

/** Long enough that both still compute when the guest has moved, whatever else the machine does. */
const STEPS = '100000';
const SECONDS = '25';
const WAIT_MS = 300_000;
const COMPUTED_FOR_NS = 500e6;

const SHARES = [
  { name: 'half', memory: '1Gi', compute: 50 },
  { name: 'quarter', memory: '512Mi', compute: 25 },
  { name: 'small', memory: '256Mi', compute: 25 },
];
const CLAIM = JSON.stringify({
  apiVersion: 'aquifer.dev/v1alpha1',
  kind: 'VGPUClaim',
  metadata: { name: 'trainer' },
  spec: { poolName: 'default', resources: { memory: '2Gi', compute: 100 }, nested: { shares: SHARES } },
});

async function type(serve: Serve, words: readonly string[], stdin = ''): Promise<string> {
  sayCommand(['aquifer', ...words]);
  const { code, stdout, stderr } = await serve.cli(words, { stdin });
  sayOutput(stdout + stderr);
  ensure(code === 0, `aquifer ${words.join(' ')}`);
  return stdout;
}

/** What the same program says that runs where the GPU is, and never moves. */
async function withoutGuest(serve: Serve, directory: string): Promise<string> {
  const program = compileExample('training', directory);
  const output = await type(serve, ['run', '--claim', 'trainer', '--', program, KERNELS, STEPS]);
  return lastLine(output);
}

const lastLine = (output: string): string => output.trimEnd().split('\n').at(-1) ?? '';

async function start(guest: Guest, device: string, runtime: Runtime, command: readonly string[]): Promise<Job> {
  if (runtime === 'podman') say(`  guest$ podman run --device aquifer.dev/vgpu=${device} … ${command.join(' ')}`);
  else say(`  guest$ aquifer-connector oci ${device} config.json; crun run …  # ${command.join(' ')}`);
  return startContainer(guest, { name: device, runtime, command, device });
}

/** Waits until each of so many programs has computed, by the GPU's own clock. */
const compute = (serve: Serve, count: number): Promise<readonly SessionView[]> =>
  eventually(
    () => sessionsOf(serve),
    (sessions) => sessions.length === count && sessions.every((session) => busyNs(session) > COMPUTED_FOR_NS),
    WAIT_MS,
  );

const busyNs = ({ vgpus }: SessionView): number => vgpus.reduce((sum, vgpu) => sum + Number(vgpu.busyNs), 0);

async function move(serve: Serve, guest: Guest): Promise<void> {
  const before = await compute(serve, 2);
  await type(serve, ['sessions', '--output', 'wide']);
  const { kind, wallMs, downtimeMs } = await guest.migrate('shared');
  say(
    `  QEMU's migration: ${kind === 'shared' ? "both QEMUs have the guest's memory, the state of its devices moved" : kind}`,
  );
  say(
    `  after ${wallMs.toFixed(0)} ms the guest runs on the other machine; it stood still for ${downtimeMs.toFixed(0)} ms`,
  );
  const after = await eventually(
    () => sessionsOf(serve),
    (sessions) => sessions.length === 2 && sessions.every((session) => busyNs(session) > busyBefore(before, session)),
    WAIT_MS,
  );
  await type(serve, ['sessions', '--output', 'wide']);
  ensure(
    after.every(({ session }) => before.some((one) => one.session === session)),
    'the sessions are other ones',
  );
}

const busyBefore = (before: readonly SessionView[], { session }: SessionView): number =>
  before.filter((one) => one.session === session).reduce((sum, one) => sum + busyNs(one) + COMPUTED_FOR_NS, 0);

async function ends(container: Job, what: string): Promise<string> {
  const { code, output } = await container.ended(WAIT_MS);
  sayOutput(output);
  ensure(code === 0, `${what} ended with ${code}`);
  return lastLine(output);
}

async function demo(directory: string): Promise<void> {
  show('A host pools its GPU, made of software here; on its bridge is a real QEMU guest that has none.');
  await using host = await GuestHost.up();
  const [guest, serve] = await Promise.all([host.boot(), serveOn(host, { softwareGpus: '1x4Gi' })]);
  await using _serve = serve;
  say(
    `  ${guest.name} is run by ${host.acceleration === 'kvm' ? 'KVM' : 'emulation (TCG): KVM runs no guest on this machine'}`,
  );
  say('  guest$ uname -r; cat /sys/bus/pci/devices/*/class');
  sayOutput((await guest.exec('uname -r; cat /sys/bus/pci/devices/*/class')).replaceAll('\n', ' '));

  show('A claim of the whole GPU, with shares for the containers of a guest.');
  await type(serve, ['apply', '-f', '-'], [POOL, CLAIM].join('---\n'));

  show('First without a guest: what a training loop says that never moves.');
  const expected = await withoutGuest(serve, directory);

  show('The guest gets a ticket. A container by crun and one by podman compute on a quarter and a half of the GPU.');
  say('  $ aquifer ticket trainer  # goes to the guest');
  await giveTicket(serve, guest, 'trainer');
  say('  guest$ aquifer-connector guest &');
  await startGuestConnector(guest);
  const training = await start(guest, 'trainer-half', 'podman', ['training', CONTAINER_KERNELS, STEPS]);
  const matmul = await start(guest, 'trainer-quarter', 'crun', ['matmul', CONTAINER_KERNELS, '64', SECONDS]);

  show('The guest moves from one machine to another while both compute.');
  await move(serve, guest);

  show('A third container asks for more memory than its share has: CUDA says so, and the others compute on.');
  const greedy = ['sh', '-c', `echo alloc 512 | session ${CONTAINER_KERNELS}`];
  const third = await start(guest, 'trainer-small', 'crun', greedy);
  const { output } = await third.ended(WAIT_MS);
  sayOutput(output);
  ensure(output.includes('CUDA_ERROR_OUT_OF_MEMORY'), 'the third container was not refused');

  show('Both end with the results of programs that never moved.');
  ensure((await ends(matmul, 'the matrix product')).includes(' 0 wrong'), 'the matrix product is wrong');
  const trained = await ends(training, 'the training');
  ensure(trained === expected, `the training says ${trained}, and without a guest ${expected}`);
}

const startedAt = performance.now();
process.chdir(new URL('..', import.meta.url).pathname);
const directory = mkdtempSync(join(tmpdir(), 'aq-demo-'));
try {
  await demo(directory);
  show('Guest, host and all that they were are gone.');
  say(`  done in ${((performance.now() - startedAt) / 1000).toFixed(0)} s`);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
} finally {
  rmSync(directory, { recursive: true, force: true });
}
