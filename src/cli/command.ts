import { nearest } from '../lib/edit-distance.ts';
import { parseCommandLine } from './command-line.ts';
import { programHelp, verbHelp } from './help.ts';
import { exitCodeOf, problemText } from './problem-text.ts';
import { UsageError } from './failure.ts';
import type { Console, Verb } from './verb.ts';
import { verbLines, verbs } from './verbs.ts';

/** Makes the console of a command once it is known which data directory its flags name. */
export type MakeConsole = (dataDir: string | undefined) => Console;

type Writers = Pick<Console, 'out' | 'err'>;

/** Runs one command line, without the name of the program. Resolves to the exit code: 1 failure, 2 usage. */
export async function runCommand(
  words: readonly string[],
  writers: Writers,
  makeConsole: MakeConsole,
): Promise<number> {
  const [name, ...rest] = words;
  if (name === undefined || ['help', '--help', '-h'].includes(name))
    return showHelp(rest[0], writers, name === undefined);
  const verb = verbs.find((candidate) => candidate.name === (name === '--version' ? 'version' : name));
  if (verb === undefined) return refuse(unknownVerb(name), writers);
  try {
    const input = parseCommandLine(verb, rest);
    if (input.isSet('help')) return showHelp(verb.name, writers, false);
    return await verb.run(input, makeConsole(input.text('data-dir')));
  } catch (error) {
    return refuse(error, writers);
  }
}

function showHelp(name: string | undefined, { out, err }: Writers, isMistake: boolean): number {
  const verb: Verb | undefined = verbs.find((candidate) => candidate.name === name);
  const text = verb === undefined ? programHelp(verbLines) : verbHelp(verb);
  if (isMistake) err(text.trimEnd());
  else out(text);
  return isMistake ? 2 : 0;
}

function unknownVerb(name: string): UsageError {
  const guess = nearest(
    name,
    verbLines.map((verb) => verb.name),
  );
  const hint = guess === undefined ? '' : `; did you mean "${guess}"?`;
  return new UsageError(
    `unknown command ${JSON.stringify(name)} for "aquifer"${hint}\nRun 'aquifer --help' for usage.`,
  );
}

function refuse(error: unknown, { err }: Writers): number {
  err(problemText(error));
  return exitCodeOf(error);
}
