import { parseArgs } from 'node:util';
import { nearest } from '../lib/edit-distance.ts';
import type { Setting } from './setting.ts';

/** What one source said: a setting's key → its value, and where the value came from. */
export interface Given {
  readonly value: unknown;
  /** `--listen`, `AQUIFER_LISTEN` or `listen in config.yaml`. */
  readonly source: string;
}

/** One thing that is wrong with the configuration: who said it, and what would be right. */
export interface ConfigProblem {
  readonly source: string;
  readonly message: string;
}

export interface ParsedArguments {
  readonly given: ReadonlyMap<string, Given>;
  readonly problems: readonly ConfigProblem[];
}

/** Reads a command line of flags only: `--flag value`, `--flag=value`, `--switch`, `--no-switch`. */
export function parseArguments(settings: readonly Setting[], argv: readonly string[]): ParsedArguments {
  const given = new Map<string, Given>();
  const problems: ConfigProblem[] = [];
  let passOver = false; // What follows an unknown flag is most likely its value: one mistake, one problem.
  for (const token of tokensOf(settings, argv)) {
    if (passOver && token.kind === 'positional') {
      passOver = false;
      continue;
    }
    const setting = token.kind === 'option' ? settingFor(token.name, settings) : undefined;
    passOver = token.kind === 'option' && setting === undefined && !token.inlineValue;
    const read = readToken(token, setting, settings);
    if ('message' in read) problems.push(read);
    else if (setting !== undefined) given.set(setting.key, combined(given.get(setting.key), read, setting));
  }
  return { given, problems };
}

function tokensOf(settings: readonly Setting[], argv: readonly string[]) {
  const options = Object.fromEntries(
    settings.map(({ flag, type }) => [flag.slice(2), { type: type === 'boolean' ? 'boolean' : 'string' } as const]),
  );
  const { tokens } = parseArgs({ args: [...argv], options, strict: false, allowPositionals: true, tokens: true });
  return tokens.filter((token) => token.kind !== 'option-terminator');
}

type Token = ReturnType<typeof tokensOf>[number];
type OptionToken = Extract<Token, { kind: 'option' }>;

/** `no-follow` names the switch `follow`. */
const settingFor = (name: string, settings: readonly Setting[]): Setting | undefined =>
  settings.find(({ flag, type }) => flag === `--${name}` || (type === 'boolean' && `no-${flag.slice(2)}` === name));

function readToken(token: Token, setting: Setting | undefined, settings: readonly Setting[]): Given | ConfigProblem {
  if (token.kind === 'positional') return { source: token.value, message: 'unexpected argument; see --help' };
  return setting === undefined ? unknownFlag(token.rawName, settings) : readFlag(setting, token);
}

function readFlag(setting: Setting, token: OptionToken): Given | ConfigProblem {
  const source = token.rawName;
  if (setting.type === 'boolean') {
    const negated = token.name === `no-${setting.flag.slice(2)}`;
    return { source, value: negated ? false : token.value === undefined ? true : valueOf(setting, token.value) };
  }
  // Behind a space, what begins with a dash is the next flag: `--data-dir --listen …`.
  const isMissing = token.value === undefined || (!token.inlineValue && /^-./.test(token.value));
  if (isMissing) return { source, message: `needs a value: ${token.rawName} ${placeholderOf(setting)}` };
  return { source, value: valueOf(setting, token.value) };
}

/** A list may be given in several flags; of anything else the last flag holds. */
const combined = (before: Given | undefined, now: Given, { type }: Setting): Given =>
  type === 'list' && before !== undefined
    ? { ...now, value: [...(before.value as unknown[]), ...(now.value as unknown[])] }
    : now;

function unknownFlag(flag: string, settings: readonly Setting[]): ConfigProblem {
  const guess = nearest(flag, [...settings.map((setting) => setting.flag), '--config', '--help']);
  const hint = guess === undefined ? 'see --help' : `did you mean ${guess}?`;
  return { source: flag, message: `unknown flag; ${hint}` };
}

/** The value that a text from a flag or a variable stands for; what does not fit is left for the schema to refuse. */
export function valueOf({ type }: Setting, text: string): unknown {
  if (type === 'number') return text.trim() !== '' && Number.isFinite(Number(text)) ? Number(text) : text;
  if (type === 'boolean')
    return text === 'true' || text === '1' ? true : text === 'false' || text === '0' ? false : text;
  if (type === 'list') return text.split(',').map((item) => item.trim());
  return text;
}

export const placeholderOf = ({ placeholder, choices, type }: Setting): string =>
  choices?.join('|') ?? placeholder ?? (type === 'number' ? 'N' : 'VALUE');
