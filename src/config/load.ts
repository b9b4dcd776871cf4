import { LineCounter, parseDocument } from 'yaml';
import type { z } from 'zod';
import { problemsOf } from '../api/problem.ts';
import { nearest } from '../lib/edit-distance.ts';
import { err, ok, type Result } from '../lib/result.ts';
import { parseArguments, valueOf, type ConfigProblem, type Given } from './arguments.ts';
import { settingsOf, type Env, type Setting } from './setting.ts';

export interface Sources {
  /** Without the interpreter, the script and the verb. */
  readonly argv: readonly string[];
  readonly env: Env;
  /** Reads a configuration file; throws if it cannot. */
  readonly readFile: (path: string) => string;
}

/**
 * The configuration of a process: a flag goes before an environment variable, that before the file named by `--config` or
 * `AQUIFER_CONFIG`, that before the default. All problems are told at once, each with the source of the value.
 */
export function loadConfig<S extends z.ZodObject>(
  schema: S,
  { argv, env, readFile }: Sources,
): Result<Readonly<z.output<S>>, readonly ConfigProblem[]> {
  const settings = settingsOf(schema);
  const flags = parseArguments([...settings, CONFIG], argv);
  const file = readSettings(settings, fileName(flags.given, env), readFile);
  const given = new Map([...fallbacks(settings, env), ...file.given, ...variables(settings, env), ...flags.given]);
  given.delete(CONFIG.key);

  const input = Object.fromEntries([...given].map(([key, { value }]) => [key, value]));
  const parsed = schema.safeParse(input);
  const refused = parsed.success ? [] : explained(parsed.error, input, { given, settings });
  const problems = [...flags.problems, ...file.problems, ...refused];
  return parsed.success && problems.length === 0 ? ok(parsed.data) : err(problems);
}

const CONFIG: Setting = {
  key: 'config',
  flag: '--config',
  variable: 'AQUIFER_CONFIG',
  type: 'string',
  placeholder: 'FILE',
  description: 'Read settings from this YAML file.',
};

type Entries = [key: string, given: Given][];

function fileName(flags: ReadonlyMap<string, Given>, env: Env): string | undefined {
  const name = flags.get(CONFIG.key)?.value ?? env[CONFIG.variable];
  return typeof name === 'string' && name !== '' ? name : undefined;
}

/** An empty variable counts as one that is not set: that is how a shell clears it. */
const variables = (settings: readonly Setting[], env: Env): Entries =>
  settings.flatMap((setting) => {
    const text = env[setting.variable] ?? '';
    return text === '' ? [] : [[setting.key, { value: valueOf(setting, text), source: setting.variable }]];
  });

const fallbacks = (settings: readonly Setting[], env: Env): Entries =>
  settings.flatMap(({ key, fallback, flag }) =>
    fallback === undefined ? [] : [[key, { value: fallback.from(env), source: flag }]],
  );

interface FileSettings {
  readonly given: Entries;
  readonly problems: readonly ConfigProblem[];
}

function readSettings(
  settings: readonly Setting[],
  file: string | undefined,
  readFile: (path: string) => string,
): FileSettings {
  if (file === undefined) return { given: [], problems: [] };
  const content = parseFile(file, readFile);
  if (!content.ok) return { given: [], problems: [content.error] };
  const entries = Object.entries(content.value).filter(([, value]) => value !== null);
  const known = entries.filter(([key]) => settings.some((setting) => setting.key === key));
  const unknown = entries.filter((entry) => !known.includes(entry)).map(([key]) => key);
  return {
    given: known.map(([key, value]) => [key, { value, source: `${key} in ${file}` }]),
    problems: unknown.map((key) => unknownKey(key, file, settings)),
  };
}

function unknownKey(key: string, file: string, settings: readonly Setting[]): ConfigProblem {
  const guess = nearest(
    key,
    settings.map((setting) => setting.key),
  );
  const hint = guess === undefined ? 'see --help' : `did you mean "${guess}"?`;
  return { source: `${key} in ${file}`, message: `unknown setting; ${hint}` };
}

function parseFile(file: string, readFile: (path: string) => string): Result<object, ConfigProblem> {
  let text: string;
  try {
    text = readFile(file);
  } catch (error) {
    return err({ source: file, message: `cannot be read: ${error instanceof Error ? error.message : String(error)}` });
  }
  const document = parseDocument(text, { lineCounter: new LineCounter() });
  const [error] = document.errors;
  if (error !== undefined) return err({ source: file, message: `is not YAML: ${error.message.split('\n')[0]}` });
  const content: unknown = document.toJS() ?? {};
  if (typeof content === 'object' && content !== null && !Array.isArray(content)) return ok(content);
  return err({ source: file, message: 'must be a mapping of settings to values' });
}

interface Known {
  readonly given: ReadonlyMap<string, Given>;
  readonly settings: readonly Setting[];
}

/** Puts what the schema says into words that name the source of the value, or every way to give one that is missing. */
function explained(error: z.ZodError, input: unknown, { given, settings }: Known): ConfigProblem[] {
  return problemsOf(error.issues, input, () => []).map(({ field, message }) => {
    const [key = ''] = field.split(/[.[]/);
    const setting = settings.find((candidate) => candidate.key === key);
    const everyWay =
      setting === undefined ? field : `${setting.flag}, ${setting.variable} or ${key} in a configuration file`;
    return { source: given.get(key)?.source ?? everyWay, message };
  });
}
