import { chmodSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { readIfThere, writeDurably } from './durable-file.ts';

/** Where the secrets of a pool are kept, each whole or not at all. */
export interface KeyStore {
  /** The text of that name; the first time it is what `make` gives, unless somebody else was quicker. */
  keep(name: string, make: () => Promise<string>): Promise<string>;
  /** How to call it to whoever has to repair it. */
  place(name: string): string;
}

/** Files that only their owner may read, in a directory made with mode 0700. One process at a time may use it. */
export function directoryKeys(directory: string): KeyStore {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  chmodSync(directory, 0o700);
  const place = (name: string): string => join(directory, name);
  return {
    place,
    async keep(name, make) {
      const known = readIfThere(place(name));
      if (known !== undefined) return known;
      const text = await make();
      writeDurably(place(name), text);
      return text;
    },
  };
}
