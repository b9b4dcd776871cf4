import type { Kind } from '../api/kinds.ts';
import { collectionPath, objectPath, type AnyObject } from './resource.ts';
import type { Console, Input } from './verb.ts';

/** Where to look, as the flags have it. */
export interface Scope {
  /** Undefined: in all namespaces. */
  readonly namespace: string | undefined;
  readonly selector: string;
}

/** The scope that -n, -A and -l say. */
export const scopeOf = (input: Input): Scope => ({
  namespace: input.isSet('all-namespaces') ? undefined : (input.text('namespace') ?? 'default'),
  selector: input.text('selector') ?? '',
});

export interface Listing {
  readonly items: readonly AnyObject[];
  /** A watch from here misses nothing. */
  readonly resourceVersion: string;
}

/** All objects of a kind in the scope. */
export async function listObjects(console: Console, kind: Kind, { namespace, selector }: Scope): Promise<Listing> {
  const query = selector === '' ? '' : `?labelSelector=${encodeURIComponent(selector)}`;
  const { body } = await console.api.call({ method: 'GET', path: collectionPath(kind, namespace) + query });
  const { items, metadata } = body as Pick<Listing, 'items'> & { readonly metadata: Pick<Listing, 'resourceVersion'> };
  return { items, resourceVersion: metadata.resourceVersion };
}

/** What was found of one kind. `names` is empty where all objects of the kind were asked for. */
export interface Found {
  readonly kind: Kind;
  readonly names: readonly string[];
  readonly objects: readonly AnyObject[];
}

/** Objects by name, or all of the kind. A name that is not there is a problem among others, not the end. */
export async function find(
  console: Console,
  kind: Kind,
  names: readonly string[],
  { namespace, selector }: Scope,
): Promise<Found & { readonly problems: readonly unknown[] }> {
  const list = names.length === 0 ? await listObjects(console, kind, { namespace, selector }) : undefined;
  if (list !== undefined) return { kind, names, objects: list.items, problems: [] };
  const replies = await Promise.allSettled(
    names.map((name) => console.api.call({ method: 'GET', path: objectPath(kind, name, namespace ?? '') })),
  );
  const objects = replies.flatMap((reply) => (reply.status === 'fulfilled' ? [reply.value.body as AnyObject] : []));
  const problems = replies.flatMap((reply) => (reply.status === 'rejected' ? [reply.reason as unknown] : []));
  return { kind, names, objects, problems };
}
