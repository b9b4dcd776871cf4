import { join } from 'node:path';
import { offerClaim } from '../test/guest/guest-claim.ts';
import { BENCH_PROGRAM } from '../test/guest/product-disk.ts';
import { withVhostDevice } from '../test/guest/vhost-device.ts';
import { eventually } from '../test/support/eventually.ts';
import { environment, inTurns, LONG_MS, p50Of, resultsOf, startOnHost, type Around } from './guest-program.ts';
import { percentile, type BenchResult } from './result.ts';

const PEER_PORT = 9970;
const LAUNCH_ROUNDS = 11;
/** Of one round each: where a process has its memory makes an emulated one fast or slow for as long as it lives. */
const COPYING_PROCESSES = 5;
const PLUGGED_MS = 60_000;

export type Channel = 'tap' | 'vsock';

/** Over the guest's network. */
export async function overTap(around: Around): Promise<readonly BenchResult[]> {
  const address = `${around.host.address}:${PEER_PORT}`;
  await startOnHost(around, ['listen', address]);
  return over('tap', around, address);
}

/** Over vsock, which the guest is given as users give it. To be called when the guest migrates no more. */
export async function overVsock(around: Around): Promise<readonly BenchResult[]> {
  const { guest, serve, resources } = around;
  const env = withVhostDevice();
  const attach = ['guest', 'attach', guest.name, '--claim', 'bench', '--qmp', guest.qmpSocket];
  const attached = await serve.cli(attach, { env });
  if (attached.code !== 0) throw new Error(attached.stderr);
  resources.defer(() => serve.cli(['guest', 'detach', guest.name], { env }).then(() => undefined));
  // The process that is the guest's device connects here when the guest connects to the port.
  await startOnHost(around, ['listen', join(serve.dataDir, 'guests', guest.name, `vsock_${PEER_PORT}`)]);
  const disk = await eventually(
    () => guest.attempt('grep -lx aquifer-ticket /sys/block/vd*/serial').then(({ output }) => output.split('/')[3]),
    (name) => name !== undefined,
    PLUGGED_MS,
  );
  await guest.exec(`kill $(pidof aquifer-connector); cp /dev/${disk} /etc/aquifer/ticket.json`);
  return over('vsock', { ...around, socket: await offerClaim(guest) }, `vsock:${PEER_PORT}`);
}

async function over(channel: Channel, around: Around, peer: string): Promise<readonly BenchResult[]> {
  const { guest, socket } = around;
  const program = `AQUIFER_BENCH_PEER=${peer} ${environment(socket)} ${BENCH_PROGRAM}`;
  const measure = async (part: string) => resultsOf(await guest.exec(`${program} ${channel} ${part}`, LONG_MS));
  const launched = await launches(channel, around, program);
  console.error(`  over ${channel}: waits …`);
  const waited = await measure('waits');
  const copied: BenchResult[] = [];
  for (let process = 1; process <= COPYING_PROCESSES; process += 1) {
    console.error(`  over ${channel}: copies, ${process} of ${COPYING_PROCESSES} …`);
    copied.push(...(await measure('copies')));
  }
  return [
    launched,
    ...waited,
    ...Map.groupBy(copied, ({ name }) => name)
      .values()
      .map(middle),
  ];
}

/** The medians of the same, measured in several processes. */
function middle(of: readonly BenchResult[]): BenchResult {
  const median = (field: 'p50' | 'value' | 'ratio') =>
    percentile(
      of.flatMap((result) => result[field] ?? []),
      50,
    );
  const medians = { p50: median('p50'), value: median('value'), ratio: median('ratio') };
  return { ...of[0]!, ...medians, p99: Math.max(...of.map(({ p99 }) => p99 ?? 0)), samples: of.length };
}

/** A launch beside one by the same library whose frames are thrown away. */
async function launches(channel: Channel, { guest }: Around, program: string): Promise<BenchResult> {
  const name = `launch-enqueue.${channel}`;
  const forwarded = async () => p50Of(await guest.exec(`${program} ${channel} enqueue`, LONG_MS), name);
  const thrownAway = async () => p50Of(await guest.exec(`${program} sink`, LONG_MS), 'launch-enqueue.sink');
  const beside = await inTurns(LAUNCH_ROUNDS, [forwarded, thrownAway], (round) => {
    console.error(`  over ${channel}: launches, ${round} …`);
  });
  const reference = 'the same call by the same library, whose frames are thrown away in the guest';
  return { name, unit: 'ns', reference, ...beside };
}
