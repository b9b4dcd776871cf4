import { connectLines, type LineClient } from '../ipc/line-client.ts';
import { VERSION } from '../lib/version.ts';
import type { DataDir } from './data-dir.ts';
import { goneWithin, livingProcess, stopProcess, type NativeProgram } from './native-process.ts';

const WORKERS_MS = 5000; // The spawner kills workers that do not go within a second of being asked.

type Programs = Readonly<Record<'spawner' | 'gateway' | 'connector', NativeProgram>>;

/** Ends all sessions and the native processes: serve was stopped by its user, and nothing of it goes on. */
export async function shutDown(programs: Programs, dirs: DataDir): Promise<void> {
  // The connector first: it would try to open sessions anew.
  for (const program of [programs.connector, programs.gateway]) {
    const living = livingProcess(program);
    if (living !== undefined) await stopProcess(living);
  }
  const spawner = livingProcess(programs.spawner);
  if (spawner === undefined) return;
  const client = await spawnerClient(dirs);
  await client.request('shutdown', { killWorkers: true });
  client.close();
  if (!(await goneWithin(spawner, WORKERS_MS))) await stopProcess(spawner);
}

/** Ends the native processes only if no session lives in them: a start that failed must not cut what it had taken over. */
export async function shutDownIfIdle(programs: Programs, dirs: DataDir): Promise<void> {
  if (livingProcess(programs.spawner) !== undefined) {
    const client = await spawnerClient(dirs);
    const { workers } = await client.request('list');
    client.close();
    if (Array.isArray(workers) && workers.length > 0) return;
  }
  await shutDown(programs, dirs);
}

const spawnerClient = (dirs: DataDir): Promise<LineClient> =>
  connectLines({ path: dirs.spawnerSocket, name: 'serve', version: VERSION });
