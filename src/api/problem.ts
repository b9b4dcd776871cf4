import type { z } from 'zod';
import { nearest } from '../lib/edit-distance.ts';

/** One thing that is wrong with an object: where, and what would be right. */
export interface Problem {
  /** Path of the field, such as `spec.gpuSelector.model[0]`. */
  readonly field: string;
  readonly message: string;
}

/** `spec.vgpus: must be at most 16`; a problem of the whole object is its message alone. */
export const problemText = ({ field, message }: Problem): string => (field === '' ? message : `${field}: ${message}`);

type Issue = z.core.$ZodIssue;
type Path = readonly PropertyKey[];

/** The names of the fields that exist at a path, for the sake of a good guess. */
export type KnownFields = (path: Path) => readonly string[];

/** Puts what zod found into our words. `input` is what was parsed. */
export function problemsOf(issues: readonly Issue[], input: unknown, knownFields: KnownFields): Problem[] {
  return issues.flatMap((issue) =>
    issue.code === 'unrecognized_keys'
      ? issue.keys.map((key) => unknownField(issue.path, key, knownFields(issue.path)))
      : [{ field: fieldPath(issue.path), message: describe(issue, valueAt(input, issue.path)) }],
  );
}

/** `['spec', 'model', 0]` → `spec.model[0]`, as Kubernetes writes it. */
function fieldPath(path: Path): string {
  return path.reduce<string>((text, step) => {
    if (typeof step === 'number') return `${text}[${step}]`;
    return text === '' ? String(step) : `${text}.${String(step)}`;
  }, '');
}

function unknownField(path: Path, key: string, known: readonly string[]): Problem {
  const guess = nearest(key, known);
  const hint =
    guess !== undefined
      ? `; did you mean "${guess}"?`
      : known.length > 0
        ? `; known here: ${known.join(', ')}`
        : '; no field is known here';
  return { field: fieldPath([...path, key]), message: `unknown field${hint}` };
}

function describe(issue: Issue, value: unknown): string {
  if (issue.code === 'invalid_type' || issue.code === 'invalid_value') return describeMismatch(issue, value);
  if (issue.code === 'too_small') return `must be at least ${amount(issue.origin, issue.minimum)}`;
  if (issue.code === 'too_big') return `must be at most ${amount(issue.origin, issue.maximum)}`;
  if (issue.code === 'invalid_key') return issue.issues[0]?.message ?? issue.message;
  return issue.message; // Formats and refinements bring their own words.
}

function describeMismatch(issue: z.core.$ZodIssueInvalidType | z.core.$ZodIssueInvalidValue, value: unknown): string {
  if (value === undefined) return 'is required';
  if (issue.code === 'invalid_value') return oneOf(issue.values.map(String), value);
  return `must be ${ARTICLES[issue.expected] ?? issue.expected}, not ${nameOf(value)}`;
}

function oneOf(values: readonly string[], value: unknown): string {
  const quoted = values.map((v) => JSON.stringify(v));
  const list = quoted.length === 1 ? `must be ${quoted[0]}` : `must be one of ${quoted.join(', ')}`;
  const guess = typeof value === 'string' ? nearest(value, values) : undefined;
  return guess !== undefined && values.length > 1 ? `${list}; did you mean ${JSON.stringify(guess)}?` : list;
}

const ARTICLES: Readonly<Record<string, string>> = {
  int: 'a whole number',
  number: 'a number',
  string: 'a string',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object',
  record: 'an object',
};

function nameOf(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'string') return `the string ${JSON.stringify(shortened(value))}`;
  return typeof value === 'object' && value !== null ? 'an object' : JSON.stringify(value);
}

const shortened = (text: string): string => (text.length > 40 ? `${text.slice(0, 40)}…` : text);

function amount(origin: string, limit: number | bigint): string {
  const plural = Number(limit) === 1 ? '' : 's';
  if (origin === 'string') return `${limit} character${plural} long`;
  if (origin === 'array') return `${limit} item${plural} long`;
  return String(limit);
}

function valueAt(input: unknown, path: Path): unknown {
  return path.reduce<unknown>(
    (value, step) => (typeof value === 'object' && value !== null ? Reflect.get(value, step) : undefined),
    input,
  );
}
