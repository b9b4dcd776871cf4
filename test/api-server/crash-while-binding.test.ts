import { expect, jest, test } from '@jest/globals';
import { BindingWorld, GPU_BYTES } from '../support/binding-world.ts';
import type { Fate } from '../support/replica-pair.ts';

/** At least so many writes it takes: claim of the pod, three finalizers or so, two binds, a refusal, the ungating, a summary. */
const FEWEST_STEPS = 9;
const FATES: readonly Fate[] = [
  'killed before it lands',
  'killed after it landed',
  'paused past its Lease',
  'suspended while another gets its Lease',
];

jest.setTimeout(900_000);

/** Binds and releases once. @returns whether a replica met its fate at the n-th write. */
async function round(world: BindingWorld, n: number, fate: Fate): Promise<boolean> {
  const { replicas } = world;
  await replicas.lieInWait(n, fate);
  await world.ask();
  await world.settled(2, 1);
  const wasStruck = replicas.struckAt !== undefined;
  await replicas.restore();
  await world.settled(2, 1);
  await world.empty();
  return wasStruck;
}

let starting: Promise<unknown> = Promise.resolve();

/** One after the other: an API server that starts wants a machine of its own. */
function startWorld(): Promise<BindingWorld> {
  const world = starting.then(() => BindingWorld.create());
  starting = world.catch(() => undefined);
  return world;
}

// Most of the time goes by while a Lease runs out: the four take no longer together than one alone.
test.concurrent.each(FATES)(
  'an operator that is %s, at every write of a bind, promises nothing twice and loses no claim',
  async (fate) => {
    await using world = await startWorld();
    const stop = new AbortController();
    const sums: number[] = [];
    const following = (async () => {
      for await (const sum of world.promises(stop.signal)) sums.push(sum);
    })().then(
      () => 'followed',
      (error: unknown) => (stop.signal.aborted ? 'followed' : error),
    );
    let n = 1;
    while (await round(world, n, fate)) n++;
    stop.abort();
    expect(await following).toBe('followed');
    expect(n).toBeGreaterThan(FEWEST_STEPS);
    expect(Math.max(...sums)).toBe(GPU_BYTES);
  },
);
