/**
 * The three functions of the `reflect-metadata` interface that @peculiar/x509's dependency injection asks for when it is
 * loaded: import this file before it. They keep what they are given, and give way to a complete implementation.
 */
type Metadata = Map<unknown, unknown>;

const kept = new WeakMap<object, Metadata>();

const getMetadata = (key: unknown, target: object): unknown => kept.get(target)?.get(key);

const missing = {
  getMetadata,
  getOwnMetadata: getMetadata,
  defineMetadata(key: unknown, value: unknown, target: object): void {
    kept.set(target, (kept.get(target) ?? new Map<unknown, unknown>()).set(key, value));
  },
};

if (!('getMetadata' in Reflect)) Object.assign(Reflect, missing);
