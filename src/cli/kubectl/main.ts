import { systemClock } from '../../runtime/system-clock.ts';
import { runKubectlCommand } from './command.ts';

const interrupted = new AbortController();
process.once('SIGINT', () => interrupted.abort());
process.once('SIGTERM', () => interrupted.abort());

process.exitCode = await runKubectlCommand(process.argv.slice(2), {
  out: (text) => void process.stdout.write(text),
  err: (line) => void process.stderr.write(`${line}\n`),
  signal: interrupted.signal,
  clock: systemClock,
});
