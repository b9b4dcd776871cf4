import { spawn } from 'node:child_process';
import { closeSync, copyFileSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createCgroups } from './cgroups.ts';
import type { Cluster } from './cluster.ts';
import type { Parts } from './parts.ts';
import { run } from './run.ts';
import { writeStateFiles } from './state-files.ts';
import { hostLink, hostVeth, NODES, PLACES, SCRIPTS } from './topology.ts';

const START_MS = 300_000;
const POLL_MS = 50;

type Lifetime = 'on its own' | 'with its owner';

export interface Beginning {
  readonly id: number;
  /** Whether it ends with the process that started it. */
  readonly lifetime: Lifetime;
}

/** Starts the namespaces and links them to the host; what is in them goes on by itself. @throws Error when its init ends. */
export async function beginCluster(state: string, parts: Parts, { id, lifetime }: Beginning): Promise<void> {
  await writeStateFiles(state, parts, id);
  mkdirSync(join(state, 'images'));
  for (const image of parts.images) copyFileSync(image, join(state, 'images', basename(image)));
  for (const place of PLACES) {
    writeFileSync(join(state, place, 'cgroups'), createCgroups(`aquifer-cluster-${id}/${place}`).join('\n') + '\n');
  }
  const hasEnded = spawnNamespaces(state, lifetime);
  await linkToHost(await readWhenThere(join(state, 'control-plane/hostpid'), hasEnded), id);
  await readWhenThere(join(state, 'control-plane/ready'), hasEnded);
}

/** Waits for both nodes, and for the ServiceAccount that pods need. */
export async function becomesReady(cluster: Cluster): Promise<void> {
  const wait = ['--timeout', `${START_MS / 1000}s`];
  const nodes = NODES.map(({ name }) => `node/${name}`);
  await Promise.all([
    ...nodes.map((node) => cluster.kubectl(['wait', '--for=create', node, ...wait])),
    cluster.kubectl(['wait', '--for=create', 'serviceaccount/default', ...wait]),
  ]);
  await cluster.kubectl(['wait', '--for=condition=Ready', ...nodes, ...wait]);
}

/** @returns whether the outermost process has ended. */
function spawnNamespaces(state: string, lifetime: Lifetime): () => boolean {
  const log = openSync(join(state, 'control-plane/init.log'), 'a');
  const nodes = NODES.map(({ name, address, podRange }) => `${name}:${address}:${podRange}`);
  const death = lifetime === 'with its owner' ? ['--pdeathsig', 'KILL'] : [];
  const words = [...death, join(SCRIPTS, 'begin.sh'), state, ...nodes];
  const child = spawn('setpriv', words, { detached: true, stdio: ['ignore', log, log] });
  closeSync(log);
  child.unref();
  return () => child.exitCode !== null || child.signalCode !== null;
}

async function linkToHost(controlPlanePid: string, id: number): Promise<void> {
  const { host, cluster } = hostLink(id);
  const veth = hostVeth(id);
  await run(['ip', 'link', 'add', veth, 'type', 'veth', 'peer', 'name', 'host0', 'netns', controlPlanePid]);
  await run(['ip', 'address', 'add', `${host}/30`, 'dev', veth]);
  await run(['ip', 'link', 'set', veth, 'up']);
  const inside = ['nsenter', '--target', controlPlanePid, '--net', 'ip'];
  await run([...inside, 'address', 'add', `${cluster}/30`, 'dev', 'host0']);
  await run([...inside, 'link', 'set', 'host0', 'up']);
}

async function readWhenThere(file: string, hasEnded: () => boolean): Promise<string> {
  const deadline = Date.now() + START_MS;
  while (!existsSync(file)) {
    if (hasEnded()) throw new Error('the init of the control plane ended');
    if (Date.now() > deadline) throw new Error(`${file} is not there after ${START_MS} ms`);
    await sleep(POLL_MS);
  }
  return readFileSync(file, 'utf8').trim();
}
