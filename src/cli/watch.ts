import { kinds } from '../api/kinds.ts';
import { isStatus } from '../api/status.ts';
import { ServerError } from './api-client.ts';
import { listObjects, type Found, type Scope } from './listing.ts';
import { documentText, objectName, type OutputForm } from './output.ts';
import { collectionPath, type AnyObject } from './resource.ts';
import { aligned, tableOf, widthsOf } from './table.ts';
import type { Console } from './verb.ts';

/** One change of an object, as the server tells it. */
export interface Change {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly object: AnyObject;
}

/** The changes of the objects at `path` from `resourceVersion` on. @throws ServerError when the server ends the watch. */
export async function* changes(
  console: Console,
  path: string,
  query: Readonly<Record<string, string>>,
  signal: AbortSignal = console.signal,
): AsyncGenerator<Change> {
  const search = new URLSearchParams({ watch: 'true', ...query });
  for await (const event of console.api.watch(`${path}?${search.toString()}`, signal)) {
    const { type, object } = event as { readonly type: string; readonly object: unknown };
    if (type === 'ERROR' && isStatus(object)) throw new ServerError(object);
    if (type !== 'BOOKMARK') yield event as Change;
  }
}

/** Prints a line for each change, until interrupted. */
export async function watchObjects(
  console: Console,
  found: Found,
  { form, scope }: { readonly form: OutputForm; readonly scope: Scope },
): Promise<void> {
  const { kind, names, objects } = found;
  const withNamespace = scope.namespace === undefined && kinds[kind].namespaced;
  const table = (shown: readonly AnyObject[]) =>
    tableOf(kind, shown, { wide: form === 'wide', withNamespace, now: console.now() });
  const widths = widthsOf(table(objects));

  const text = (object: AnyObject): string => {
    if (form === 'json' || form === 'yaml') return (form === 'yaml' ? '---\n' : '') + documentText(form, object);
    if (form === 'name') return `${objectName(kind, object)}\n`;
    return aligned(table([object]).slice(1), widths);
  };
  // What changed between the printout and this list is printed first: a watch begins where a list ends.
  const shown = new Map(objects.map(({ metadata }) => [metadata.uid, metadata.resourceVersion]));
  const isWanted = ({ metadata }: AnyObject): boolean => names.length === 0 || names.includes(metadata.name);
  const { items, resourceVersion } = await listObjects(console, kind, scope);
  for (const object of items.filter(isWanted)) {
    if (shown.get(object.metadata.uid) !== object.metadata.resourceVersion) console.out(text(object));
  }
  for await (const { object } of changes(console, collectionPath(kind, scope.namespace), { resourceVersion })) {
    if (isWanted(object) && matches(object, scope.selector)) console.out(text(object));
  }
}

/** The server's watch knows no labels: a watch of ours is of few objects. */
function matches({ metadata }: AnyObject, selector: string): boolean {
  if (selector === '') return true;
  return selector.split(',').every((part) => {
    const [key = '', value = ''] = part.split(/==?/);
    return metadata.labels?.[key.trim()] === value.trim();
  });
}
