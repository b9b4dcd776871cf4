import { kindOf } from '../api/admission.ts';
import type { Kind } from '../api/kinds.ts';
import type { Draft } from '../runtime/store.ts';
import { badRequest } from './api-failure.ts';

// Written by a store only; a manifest that was read from one may carry them, and means nothing by them.
const STORE_OWNED = ['uid', 'resourceVersion', 'generation', 'creationTimestamp', 'deletionTimestamp', 'managedFields'];

type Fields = Readonly<Record<string, unknown>>;

/**
 * The manifest as a draft of the kind, in the namespace of the path. What else is wrong with it the store will say.
 * @throws ApiFailure if the manifest is of another kind, has no name or names another namespace.
 */
export function draftOf(kind: Kind, body: unknown, namespace: string | undefined): Draft {
  const said = kindOf(body);
  if (!said.ok) throw badRequest(`${said.error.field === '' ? '' : `${said.error.field}: `}${said.error.message}`);
  if (said.value !== kind) throw badRequest(`kind: must be "${kind}", as in the path`);
  const { status: _, ...manifest } = body as { readonly metadata?: unknown; readonly status?: unknown };
  return { ...manifest, metadata: writtenMetadata(manifest.metadata, namespace) };
}

function writtenMetadata(metadata: unknown, namespace: string | undefined): Draft['metadata'] {
  if (typeof metadata !== 'object' || metadata === null) throw badRequest('metadata: is required');
  const written: Fields = Object.fromEntries(Object.entries(metadata).filter(([name]) => !STORE_OWNED.includes(name)));
  const { name } = written as { readonly name?: unknown };
  if (typeof name !== 'string') throw badRequest('metadata.name: is required');
  if (namespace === undefined) return { ...written, name };
  const said = written['namespace'] ?? namespace;
  if (said !== namespace) throw badRequest(`metadata.namespace: must be ${JSON.stringify(namespace)}, as in the path`);
  return { ...written, name, namespace };
}
