import type { Kind } from '../api/kinds.ts';
import { collectionPath, type AnyObject } from './resource.ts';
import type { Console } from './verb.ts';

/** Where to look, as the flags have it. */
export interface Scope {
  /** Undefined: in all namespaces. */
  readonly namespace: string | undefined;
  readonly selector: string;
}

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
