import { readFileSync } from 'node:fs';
import type { z } from 'zod';
import { helpText, wantsHelp, type HelpText } from './help.ts';
import { loadConfig } from './load.ts';

export interface ProcessOptions<S extends z.ZodObject> {
  readonly schema: S;
  readonly help: HelpText;
  /** Runs until the signal, which SIGINT and SIGTERM give. */
  readonly run: (config: Readonly<z.output<S>>, signal: AbortSignal) => Promise<void>;
  /** What to tell of an error that `run` threw, and the exit code. @default its message, and 1 */
  readonly explain?: (error: unknown) => { readonly line: string; readonly code: number };
}

const LEFTOVERS_MS = 1000;

const explainShortly = (error: unknown): { readonly line: string; readonly code: number } => ({
  line: error instanceof Error ? error.message : String(error),
  code: 1,
});

/** Runs a process by its settings. Resolves to its exit code: 0 stopped, 2 settings not understood, else as explained. */
export async function runProcess<S extends z.ZodObject>(options: ProcessOptions<S>): Promise<number> {
  const { schema, help, run, explain = explainShortly } = options;
  const argv = process.argv.slice(2);
  if (wantsHelp(argv)) {
    process.stdout.write(helpText(schema, help));
    return 0;
  }
  const config = loadConfig(schema, { argv, env: process.env, readFile: (path) => readFileSync(path, 'utf8') });
  if (!config.ok) {
    for (const { source, message } of config.error) complain(`${source}: ${message}`);
    return 2;
  }
  const stopped = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM']) process.on(name, () => stopped.abort());
  try {
    await run(config.value, stopped.signal);
    return 0;
  } catch (error) {
    const { line, code } = explain(error);
    complain(line);
    return code;
  } finally {
    // What a library holds after its end, such as a connection that is still being made, must not keep the process.
    setTimeout(() => process.exit(), LEFTOVERS_MS).unref();
  }
}

const complain = (line: string): void => void process.stderr.write(`error: ${line}\n`);
