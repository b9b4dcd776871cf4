import { isStoreError } from '../runtime/store.ts';
import type { Connection } from './connection.ts';
import { collectionPath, objectPath, type Resource } from './resource.ts';

const SECRETS: Resource = { apiVersion: 'v1', kind: 'Secret', plural: 'secrets', namespaced: true };

interface Secret {
  readonly data?: Readonly<Record<string, string>>;
}

/** Texts that are made once and kept, each in a Secret of its own, for all replicas. */
export function secretTexts(connection: Pick<Connection, 'call'>, where: { namespace: string; prefix: string }) {
  const { namespace, prefix } = where;
  const nameOf = (name: string): string => `${prefix}-${name.replace(/[.][a-z]+$/, '')}`;
  const place = (name: string): string => `Secret ${namespace}/${nameOf(name)}`;

  const read = async (name: string): Promise<string | undefined> => {
    const path = objectPath(SECRETS, { namespace, name: nameOf(name) });
    try {
      const { data = {} } = (await connection.call({ method: 'GET', path })) as Secret;
      const text = data[name];
      if (text === undefined) throw new Error(`${place(name)} has no entry ${name}: restore it, or delete the Secret`);
      return Buffer.from(text, 'base64').toString();
    } catch (error) {
      if (isStoreError(error, 'NotFound')) return undefined;
      throw error;
    }
  };

  const create = async (name: string, text: string): Promise<string> => {
    const metadata = { name: nameOf(name), namespace };
    const data = { [name]: Buffer.from(text).toString('base64') };
    // Immutable: whoever wants another text must delete the Secret, and so knows what he does.
    const body = { apiVersion: 'v1', kind: 'Secret', metadata, type: 'Opaque', immutable: true, data };
    await connection.call({ method: 'POST', path: collectionPath(SECRETS, namespace), body });
    return text;
  };

  return {
    place,
    /** The text of that name; the first time it is what `make` gives, unless another replica was quicker. */
    async keep(name: string, make: () => Promise<string>): Promise<string> {
      const known = await read(name);
      if (known !== undefined) return known;
      try {
        return await create(name, await make());
      } catch (error) {
        if (!isStoreError(error, 'AlreadyExists')) throw error;
        return (await read(name)) ?? (await create(name, await make()));
      }
    },
  };
}
