import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { LineCounter, parseAllDocuments } from 'yaml';
import { kindOf } from '../api/admission.ts';
import { kinds, type Kind } from '../api/kinds.ts';
import { CommandError } from './failure.ts';

/** One object of a manifest, and where it stands. */
export interface Manifest {
  readonly source: string;
  readonly kind: Kind;
  readonly name: string;
  /** Absent for kinds that belong to none. */
  readonly namespace?: string;
  readonly object: Readonly<Record<string, unknown>>;
}

/** The namespace that objects belong to which name none, and whether others are refused (the user said `-n`). */
export interface NamespaceRule {
  readonly namespace: string;
  readonly enforced: boolean;
}

/** The texts that `-f` names: a file, `-` for standard input, or each manifest in a directory. */
export async function readSources(
  filenames: readonly string[],
  readStdin: () => Promise<string>,
): Promise<readonly { readonly source: string; readonly text: string }[]> {
  const sources: { source: string; text: string }[] = [];
  for (const filename of filenames) {
    if (filename === '-') sources.push({ source: 'STDIN', text: await readStdin() });
    else for (const path of filesAt(filename)) sources.push({ source: path, text: readFileSync(path, 'utf8') });
  }
  return sources;
}

function filesAt(path: string): readonly string[] {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) throw new CommandError(`the path ${JSON.stringify(path)} does not exist`);
  if (!stat.isDirectory()) return [path];
  const names = readdirSync(path).filter((name) => /[.](ya?ml|json)$/.test(name));
  if (names.length === 0) throw new CommandError(`there is no .yaml, .yml or .json file in ${JSON.stringify(path)}`);
  return names.toSorted().map((name) => join(path, name));
}

/** The objects in a text of YAML or JSON. @throws CommandError that names source and line of the first that is wrong. */
export function parseManifests(source: string, text: string, rule: NamespaceRule): readonly Manifest[] {
  const lines = new LineCounter();
  const documents = parseAllDocuments(text, { lineCounter: lines });
  if (!Array.isArray(documents)) return [];
  return documents.flatMap((document) => {
    const [error] = document.errors;
    if (error !== undefined) {
      const [message = ''] = error.message.split('\n');
      throw new CommandError(`error parsing ${source}: ${message.replace(/:$/, '')}`);
    }
    const line = lines.linePos(document.contents?.range?.[0] ?? 0).line;
    const value: unknown = document.toJS();
    if (value === null || value === undefined) return [];
    return listed(value).map((object) => manifestOf(`${source}, line ${line}`, object, rule));
  });
}

/** The items of a `kind: List`, as `get -o yaml` prints it; anything else is an object. */
function listed(value: unknown): readonly unknown[] {
  const { kind, items } = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>;
  return typeof kind === 'string' && kind.endsWith('List') && Array.isArray(items) ? (items as unknown[]) : [value];
}

function manifestOf(source: string, value: unknown, rule: NamespaceRule): Manifest {
  const kind = kindOf(value);
  if (!kind.ok) {
    const { field, message } = kind.error;
    throw new CommandError(`${source}: ${field === '' ? '' : `${field}: `}${message}`);
  }
  const object = value as Readonly<Record<string, unknown>>;
  const metadata = (object['metadata'] ?? {}) as { readonly name?: unknown; readonly namespace?: unknown };
  if (typeof metadata.name !== 'string' || metadata.name === '') {
    throw new CommandError(`${source}: metadata.name: is required`);
  }
  const base = { source, kind: kind.value, name: metadata.name, object };
  if (!kinds[kind.value].namespaced) return base;
  return { ...base, namespace: namespaceOf(source, metadata.namespace, rule) };
}

function namespaceOf(source: string, said: unknown, { namespace, enforced }: NamespaceRule): string {
  if (said === undefined) return namespace;
  if (typeof said !== 'string') throw new CommandError(`${source}: metadata.namespace: must be a string`);
  if (enforced && said !== namespace) {
    throw new CommandError(
      `the namespace from the provided object "${said}" does not match the namespace "${namespace}". ` +
        `You must pass '--namespace=${said}' to perform this operation.`,
    );
  }
  return said;
}
