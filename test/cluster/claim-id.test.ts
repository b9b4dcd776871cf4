import { afterAll, describe, expect, it } from '@jest/globals';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { eventually } from '../support/eventually.ts';
import { isInUse, releaseId } from './claim-id.ts';
import { Cluster } from './cluster.ts';
import { hostVeth, stateFolder } from './topology.ts';

const MINUTES = 60_000;

/** Another process that has a cluster of its own and never takes it down. */
async function startOwner(): Promise<{ readonly child: ChildProcess; readonly id: number }> {
  const source = `
    const { Cluster } = await import('${import.meta.dirname}/cluster.ts');
    console.log((await Cluster.forTest()).id);
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', source], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
  return { child, id: Number(line) };
}

describe('a cluster of a test whose process is killed', () => {
  let id: number | undefined;
  afterAll(() => (id === undefined ? undefined : releaseId(id)), MINUTES);

  it(
    'ends, and its id is taken by the next',
    async () => {
      const owner = await startOwner();
      ({ id } = owner);
      expect(isInUse(owner.id)).toBe(true);
      owner.child.kill('SIGKILL');
      await eventually(
        () => isInUse(owner.id),
        (isUsed) => !isUsed,
        MINUTES,
      );
      await using next = await Cluster.forTest();
      expect(next.id).toBeLessThanOrEqual(owner.id);
      expect((await next.kubectl(['get', 'nodes', '--output=name'])).stdout).toContain('gpu-1');
    },
    60 * MINUTES,
  );

  it(
    'is not taken for dead while it is being started',
    async () => {
      const two = await Promise.all([Cluster.forTest(), Cluster.forTest()]);
      const ids = two.map((cluster) => cluster.id);
      expect(new Set(ids).size).toBe(2);
      await Promise.all(two.map((cluster) => cluster.down()));
      expect(ids.filter((one) => existsSync(stateFolder(one)))).toEqual([]);
      expect(readdirSync('/sys/class/net')).not.toContain(hostVeth(ids[0] ?? 0));
    },
    10 * MINUTES,
  );
});
