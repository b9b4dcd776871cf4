import { expect } from '@jest/globals';
import type { ChartCluster, ProgramPod } from './chart-cluster.ts';
import { eventually } from './eventually.ts';

const LONG_MS = 300_000;
/** SIGTERM for the program, which then says what it found. */
const ASK_TO_END = ['/usr/local/libexec/aquifer/node', '-e', "process.kill(1, 'SIGTERM')"];

const hasEnded = (phase: string): boolean => phase === 'Succeeded' || phase === 'Failed';

/** Pods whose program computes and checks each result until it is asked to end. */
export interface SteadyPods {
  /** Resolves to their names when all of them have a GPU and compute. */
  start(...wishes: readonly SteadyPod[]): Promise<readonly string[]>;
  /** Asks them to end, and expects that each has computed all that time and nothing wrong; deletes them. */
  end(names: readonly string[]): Promise<void>;
}

/** One without a command computes until it is asked to end. */
type SteadyPod = Omit<ProgramPod, 'command'> & Partial<ProgramPod>;

export function steadyPods(chart: ChartCluster): SteadyPods {
  const logs = (name: string): Promise<string> => chart.kubectl('logs', name).catch(() => '');
  /** The end of the program may take the one that asks with it, and an answer may get lost: it is asked until it has ended. */
  const askToEnd = async (name: string): Promise<string> => {
    await chart.kubectl('exec', name, '--', ...ASK_TO_END).catch(() => '');
    return chart.kubectl('get', 'pod', name, '--output=jsonpath={.status.phase}');
  };
  return {
    async start(...wishes) {
      await chart.apply(...wishes.map((wish) => chart.pod({ command: ['/program/steady', '0', '16'], ...wish })));
      const names = wishes.map(({ name }) => name);
      for (const name of names)
        await eventually(
          () => logs(name),
          (log) => /^vGPU: /m.test(log),
          LONG_MS,
        );
      return names;
    },
    async end(names) {
      await Promise.all(names.map((name) => eventually(() => askToEnd(name), hasEnded, LONG_MS)));
      for (const name of names) expect(await logs(name)).toMatch(/steady: [1-9]\d* rounds, 0 wrong/);
      await chart.kubectl('delete', 'pod', ...names);
    },
  };
}
