import { kinds, type Kind } from '../api/kinds.ts';
import { isNotFound } from './api-client.ts';
import { allNamespacesFlag, namespaceFlag, outputFlag, selectorFlag } from './flag.ts';
import { documentText, objectName, outputForm, type OutputForm } from './output.ts';
import { problemText } from './problem-text.ts';
import { find, scopeOf, type Found, type Scope } from './listing.ts';
import { qualifiedKind, wantedOf, type Wanted } from './resource.ts';
import { aligned, tableOf } from './table.ts';
import { UsageError } from './failure.ts';
import type { Console, Input, Verb } from './verb.ts';
import { watchObjects } from './watch.ts';

const FORMS: readonly OutputForm[] = ['wide', 'json', 'yaml', 'name'];

export const getVerb: Verb = {
  name: 'get',
  usage: 'TYPE[,TYPE…] [NAME…] [flags]',
  summary: 'Show objects, one line each or whole',
  details: 'Types: gpupools (gpool), gpunodes (gnode), vgpuclaims (vgpu).',
  examples: [
    'aquifer get vgpuclaims -A',
    'aquifer get vgpu trainer -o yaml',
    'aquifer get gpool,vgpu',
    'aquifer get vgpu -w',
  ],
  flags: [
    namespaceFlag,
    allNamespacesFlag,
    selectorFlag,
    outputFlag(FORMS),
    { name: 'watch', short: 'w', help: 'After that, show each change until interrupted' },
    { name: 'no-headers', help: 'Leave out the line of column names' },
    { name: 'ignore-not-found', help: 'An object that does not exist is no error' },
  ],
  run: runGet,
};

async function runGet(input: Input, console: Console): Promise<number> {
  const form = outputForm(input, FORMS);
  const scope = scopeOf(input);
  const wanted = wantedOf(input.args, 'get');
  const watched = input.isSet('watch');
  checkFlags(wanted, scope, watched);

  let exitCode = 0;
  const found: Found[] = [];
  for (const [kind, names] of byKind(wanted)) {
    const { problems, ...rest } = await find(console, kind, names, scope);
    found.push(rest);
    const told = problems.filter((problem) => !(input.isSet('ignore-not-found') && isNotFound(problem)));
    for (const problem of told) console.err(problemText(problem));
    if (told.length > 0) exitCode = 1;
  }
  show(console, found, { form, scope, withHeaders: !input.isSet('no-headers'), exitCode });
  if (watched && exitCode === 0) for (const of of found) await watchObjects(console, of, { form, scope });
  return exitCode;
}

function checkFlags(wanted: readonly Wanted[], scope: Scope, watched: boolean): void {
  const named = wanted.filter(({ name }) => name !== undefined);
  if (named.length > 0 && scope.selector !== '') throw new UsageError('selectors and names cannot be used together');
  if (named.some(({ kind }) => kinds[kind].namespaced) && scope.namespace === undefined) {
    throw new UsageError('a resource cannot be retrieved by name across all namespaces');
  }
  const manyKinds = new Set(wanted.map(({ kind }) => kind)).size > 1;
  if (watched && (manyKinds || named.length > 1))
    throw new UsageError('watch is only supported on one type, or one object of it');
}

function byKind(wanted: readonly Wanted[]): ReadonlyMap<Kind, readonly string[]> {
  const grouped = new Map<Kind, string[]>();
  for (const { kind, name } of wanted) {
    grouped.set(kind, [...(grouped.get(kind) ?? []), ...(name === undefined ? [] : [name])]);
  }
  return grouped;
}

interface Showing {
  readonly form: OutputForm;
  readonly scope: Scope;
  readonly withHeaders: boolean;
  readonly exitCode: number;
}

function show(console: Console, found: readonly Found[], showing: Showing): void {
  const { form, scope, exitCode } = showing;
  const objects = found.flatMap((of) => of.objects);
  if (form === 'json' || form === 'yaml') {
    if (exitCode === 0 || objects.length > 0) console.out(documentText(form, documentOf(found)));
  } else if (form === 'name') {
    for (const of of found) for (const object of of.objects) console.out(`${objectName(of.kind, object)}\n`);
  } else if (objects.length === 0) {
    if (exitCode === 0) console.err(nothingFound(found, scope));
  } else {
    const shown = found.filter((of) => of.objects.length > 0);
    console.out(shown.map((of) => textOf(console, of, { ...showing, prefixed: found.length > 1 })).join('\n'));
  }
}

function textOf(console: Console, { kind, objects }: Found, showing: Showing & { readonly prefixed: boolean }): string {
  const withNamespace = showing.scope.namespace === undefined && kinds[kind].namespaced;
  const wide = showing.form === 'wide';
  const prefix = showing.prefixed ? { namePrefix: `${qualifiedKind(kind)}/` } : {};
  const rows = tableOf(kind, objects, { wide, withNamespace, now: console.now(), ...prefix });
  return aligned(showing.withHeaders ? rows : rows.slice(1));
}

/** One object as it is where one was named, else a list, as kubectl prints it. */
function documentOf(found: readonly Found[]): unknown {
  const objects = found.flatMap((of) => of.objects);
  const single = found.length === 1 && found[0]?.names.length === 1 && objects.length === 1;
  if (single) return objects[0];
  return { apiVersion: 'v1', kind: 'List', metadata: { resourceVersion: '' }, items: objects };
}

function nothingFound(found: readonly Found[], { namespace }: Scope): string {
  const namespaced = found.some(({ kind }) => kinds[kind].namespaced);
  return namespaced && namespace !== undefined ? `No resources found in ${namespace} namespace.` : 'No resources found';
}
