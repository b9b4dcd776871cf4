/** `make cluster-up` and what one does with a cluster by hand. CLUSTER_ID (0 when not set) chooses among several. */
import { spawnSync } from 'node:child_process';
import { join, resolve } from 'node:path';
import { ensureBinaries } from '../test/cluster/binaries.ts';
import { releaseId } from '../test/cluster/claim-id.ts';
import { Cluster } from '../test/cluster/cluster.ts';
import { ALL_COMMANDS, type Command } from '../test/cluster/components.ts';
import { NODES, PLACES, SCRIPTS, stateFolder, type NodeName, type Where } from '../test/cluster/topology.ts';

const USAGE = `usage: node scripts/cluster.ts VERB
  up                      build what is missing, start, and say how to reach it
  down                    end it and remove all that it was
  build [COMMAND…]        only build: everything, or these
  in WHERE COMMAND…       run a command in the namespaces of ${PLACES.join(', ')}
  kill WHERE COMPONENT    kill -9, as a crash would
  start WHERE COMPONENT   start what was killed
  load ARCHIVE [NODE…]    load an OCI archive into the nodes' containerd
  logs                    the last lines of every log`;

const [verb, ...words] = process.argv.slice(2);
const id = Number(process.env['CLUSTER_ID'] ?? 0);
const attach = (): Promise<Cluster> => Cluster.attach(id);

const VERBS: Readonly<Record<string, () => Promise<void>>> = {
  up,
  down: () => releaseId(id),
  build: async () => console.log(await ensureBinaries(commands())),
  in: () => Promise.resolve(enter()),
  kill: async () => (await attach()).kill(place(words[0]), words[1] ?? ''),
  start: async () => (await attach()).start(place(words[0]), words[1] ?? ''),
  load: async () => (await attach()).load(resolve(words[0] ?? ''), nodes(words.slice(1))),
  logs: async () => console.log((await attach()).logs()),
};

async function up(): Promise<void> {
  const bin = await ensureBinaries(ALL_COMMANDS);
  const startedAt = Date.now();
  const { kubeconfig } = await Cluster.up(id);
  console.error(
    `both nodes Ready after ${((Date.now() - startedAt) / 1000).toFixed(1)} s; this shell reaches them with:`,
  );
  console.log(`export KUBECONFIG=${kubeconfig} PATH=${bin}:$PATH`);
}

function commands(): readonly Command[] {
  const wanted = ALL_COMMANDS.filter((command) => words.length === 0 || words.includes(command));
  if (words.length > 0 && wanted.length !== words.length)
    throw new Error(`not all of these can be built: ${words.join(', ')}; choose from ${ALL_COMMANDS.join(', ')}`);
  return wanted;
}

/** With the terminal, unlike Cluster.enter. */
function enter(): void {
  const [where, ...command] = words;
  const { status } = spawnSync(join(SCRIPTS, 'enter.sh'), [stateFolder(id), place(where), ...command], {
    stdio: 'inherit',
  });
  process.exitCode = status ?? 1;
}

function place(word = ''): Where {
  const found = PLACES.find((one) => one === word);
  if (found === undefined) throw new Error(`"${word}" is none of ${PLACES.join(', ')}`);
  return found;
}

function nodes(names: readonly string[]): readonly NodeName[] {
  const wanted = NODES.map(({ name }) => name).filter((name) => names.length === 0 || names.includes(name));
  if (names.length > 0 && wanted.length !== names.length)
    throw new Error(`not all of these are nodes: ${names.join(', ')}`);
  return wanted;
}

const action = VERBS[verb ?? ''];
if (action === undefined || !Number.isInteger(id) || id < 0 || id > 255) {
  console.error(Number.isInteger(id) && id >= 0 && id <= 255 ? USAGE : 'CLUSTER_ID is a number from 0 to 255');
  process.exit(2);
}
try {
  await action();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
