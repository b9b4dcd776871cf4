import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { dataDirectory } from '../config/data-directory.ts';
import { apiClient } from './api-client.ts';
import { runCommand } from './command.ts';
import { replaceProcess } from './replace-process.ts';

const interrupted = new AbortController();
process.once('SIGINT', () => interrupted.abort());
process.once('SIGTERM', () => interrupted.abort());
// A reader such as `head` may leave early: that ends us quietly, as it ends any other program.
process.stdout.on('error', () => process.exit(0));

const writers = {
  out: (written: string) => void process.stdout.write(written),
  err: (line: string) => void process.stderr.write(`${line}\n`),
};

process.exitCode = await runCommand(process.argv.slice(2), writers, (flag) => {
  const dataDir = dataDirectory(flag, process.env);
  return {
    ...writers,
    api: apiClient(join(dataDir, 'run', 'api.sock'), dataDir),
    dataDir,
    now: () => new Date(),
    readStdin: () => text(process.stdin),
    exec: replaceProcess,
    env: process.env,
    signal: interrupted.signal,
  };
});
