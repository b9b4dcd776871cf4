import { join } from 'node:path';
import { eventually } from './eventually.ts';
import { PREFIX, runProgram, type Ran } from './serve.ts';

const PROGRAM = join(PREFIX, 'bin/aquifer-connector');

/** An `aquifer-connector --ticket` of the installed product, as on a host without a GPU. */
export interface ConnectorProcess {
  /** What it has said so far. */
  output(): string;
  stop(signal: 'SIGTERM' | 'SIGKILL'): Promise<Ran>;
}

/** Starts a connector and waits until it offers `socket`. @throws Error with what it said instead. */
export async function startConnector(
  ticket: string,
  socket: string,
  stateDir: string,
  flags: readonly string[] = [],
): Promise<ConnectorProcess> {
  const words = ['--ticket', ticket, '--socket', socket, '--state-dir', stateDir, ...flags];
  const { child, ended } = runProgram(PROGRAM, words);
  let output = '';
  child.stderr?.on('data', (chunk: Buffer) => (output += chunk.toString()));
  await eventually(
    () => ({ output, code: child.exitCode }),
    (now) => now.code !== null || now.output.includes('ready'),
  );
  if (child.exitCode !== null) throw new Error(`the connector has ended (${child.exitCode}): ${output}`);
  return {
    output: () => output,
    async stop(signal) {
      child.kill(signal);
      return await ended;
    },
  };
}

/** The key of the connector that keeps its state in `stateDir`. */
export async function connectorKey(stateDir: string): Promise<string> {
  const { stdout } = await runProgram(PROGRAM, ['key', '--state-dir', stateDir]).ended;
  return stdout.trim();
}
