import { spawn } from 'node:child_process';
import { closeSync, copyFileSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createCgroups } from './cgroups.ts';
import type { Cluster } from './cluster.ts';
import { run } from './run.ts';
import { writeStateFiles, type Folders } from './state-files.ts';
import { hostLink, hostVeth, NODES, PLACES, SCRIPTS } from './topology.ts';

const START_MS = 300_000;
const POLL_MS = 50;

/** Starts the namespaces and links them to the host; what is in them goes on by itself. @throws Error when its init ends. */
export async function beginCluster(folders: Folders, images: readonly string[], id: number): Promise<void> {
  const { state } = folders;
  await writeStateFiles(folders, id);
  mkdirSync(join(state, 'images'));
  for (const image of images) copyFileSync(image, join(state, 'images', basename(image)));
  for (const place of PLACES) {
    writeFileSync(join(state, place, 'cgroups'), createCgroups(`aquifer-cluster-${id}/${place}`).join('\n') + '\n');
  }
  const hasEnded = spawnNamespaces(state);
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
function spawnNamespaces(state: string): () => boolean {
  const log = openSync(join(state, 'control-plane/init.log'), 'a');
  const nodes = NODES.map(({ name, address, podRange }) => `${name}:${address}:${podRange}`);
  const words = [join(SCRIPTS, 'begin.sh'), state, ...nodes];
  const child = spawn('bash', words, { detached: true, stdio: ['ignore', log, log] });
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
