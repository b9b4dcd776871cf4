import { nearest } from '../lib/edit-distance.ts';
import { dataDirFlag, helpFlag } from './flag.ts';
import { UsageError } from './failure.ts';
import type { Flag, Input, VerbForm } from './verb.ts';

/** The flags that a verb understands, those included that every verb has. */
export const flagsOf = ({ flags, program }: VerbForm): readonly Flag[] => [
  ...flags,
  ...(program === undefined ? [dataDirFlag] : []),
  helpFlag,
];

/** What is typed before its arguments. */
export const callOf = ({ program = 'aquifer', name }: VerbForm): string => `${program} ${name}`;

/** Reads the words behind a verb. @throws UsageError that says which word is wrong and what may have been meant. */
export function parseCommandLine(verb: VerbForm, words: readonly string[]): Input {
  const end = words.indexOf('--');
  const [own, behind] = end === -1 ? [words, []] : [words.slice(0, end), words.slice(end + 1)];
  const { args, values } = readWords(verb, own);
  return verb.takesProgram === true
    ? inputOf(verb, args, behind, values)
    : inputOf(verb, [...args, ...behind], [], values);
}

interface Words {
  readonly args: readonly string[];
  readonly values: ReadonlyMap<string, readonly string[]>;
}

function readWords(verb: VerbForm, words: readonly string[]): Words {
  const values = new Map<string, string[]>();
  const args: string[] = [];
  const rest = words[Symbol.iterator]();
  for (const word of rest) {
    const given = flagOf(verb, word);
    if (given === undefined) args.push(word);
    else {
      const { name } = given.flag;
      values.set(name, [...(values.get(name) ?? []), valueOf(given, rest)]);
    }
  }
  return { args, values };
}

function valueOf({ flag, value }: GivenFlag, rest: Iterator<string>): string {
  if (value !== undefined) return checked(flag, value);
  if (flag.value === undefined) return 'true';
  const next = rest.next();
  if (next.done === true) throw new UsageError(`flag needs an argument: --${flag.name} ${flag.value}`);
  return next.value;
}

/** A flag with the value that is part of its word, if there is one. */
interface GivenFlag {
  readonly flag: Flag;
  readonly value?: string;
}

function inputOf(
  verb: VerbForm,
  args: readonly string[],
  program: readonly string[],
  values: ReadonlyMap<string, readonly string[]>,
): Input {
  const text = (name: string): string | undefined =>
    values.get(name)?.at(-1) ?? flagsOf(verb).find((flag) => flag.name === name)?.default;
  return { args, program, text, texts: (name) => values.get(name) ?? [], isSet: (name) => text(name) === 'true' };
}

/** The flag that a word is, with the value that is part of it; undefined for a word that is no flag. */
function flagOf(verb: VerbForm, word: string): GivenFlag | undefined {
  if (word === '-' || !word.startsWith('-')) return undefined;
  const flags = flagsOf(verb);
  if (!word.startsWith('--')) return shortFlagOf(verb, flags, word);
  const [, name = '', value] = /^--([^=]*)(?:=(.*))?$/s.exec(word) ?? [];
  const flag = flags.find((candidate) => candidate.name === name);
  if (flag === undefined)
    throw unknownFlag(
      verb,
      `--${name}`,
      nearest(
        name,
        flags.map((candidate) => candidate.name),
      ),
    );
  return value === undefined ? { flag } : { flag, value };
}

function shortFlagOf(
  verb: VerbForm,
  flags: readonly Flag[],
  word: string,
): { readonly flag: Flag; readonly value?: string } {
  const flag = flags.find((candidate) => candidate.short === word[1]);
  // `-o=json`, `-ojson` and `-o json` are all the same to kubectl.
  const value = word.slice(2).replace(/^=/, '');
  if (flag === undefined || (flag.value === undefined && value !== '' && !['true', 'false'].includes(value))) {
    throw unknownFlag(
      verb,
      word,
      nearest(
        word.slice(1),
        flags.map((candidate) => candidate.name),
      ),
    );
  }
  return value === '' ? { flag } : { flag, value };
}

const unknownFlag = (verb: VerbForm, word: string, guess: string | undefined): UsageError =>
  new UsageError(
    `unknown flag: ${word}${guess === undefined ? '' : `; did you mean --${guess}?`}\nSee '${callOf(verb)} --help'.`,
  );

function checked(flag: Flag, value: string): string {
  if (flag.value === undefined && value !== 'true' && value !== 'false') {
    throw new UsageError(`invalid argument ${JSON.stringify(value)} for --${flag.name}: must be true or false`);
  }
  return value;
}
