import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CDI_DEVICE, publishCdiSpecification } from './cdi-specification.ts';

let folder: string;
let directory: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'aq-cdi-'));
  directory = join(folder, 'cdi');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

interface Specification {
  readonly kind: string;
  readonly devices: readonly { readonly name: string; readonly containerEdits: unknown }[];
}

const published = (): Specification => {
  const [file = '', ...others] = readdirSync(directory);
  expect(others).toEqual([]);
  expect(file).toMatch(/\.json$/);
  return JSON.parse(readFileSync(join(directory, file), 'utf8')) as Specification;
};

test('there is one device, by the name that Allocate gives, with the hook', () => {
  using _ = publishCdiSpecification(directory, '/lib/client/1/container-hook');
  const { kind, devices } = published();
  expect(devices.map(({ name }) => `${kind}=${name}`)).toEqual([CDI_DEVICE]);
  expect(devices[0]?.containerEdits).toEqual({
    hooks: [expect.objectContaining({ hookName: 'createContainer', path: '/lib/client/1/container-hook' })],
  });
});

test('it is gone with the plugin', () => {
  publishCdiSpecification(directory, '/hook')[Symbol.dispose]();
  expect(readdirSync(directory)).toEqual([]);
});

test('the next plugin replaces what one that was killed has left, and keeps it when that one goes after all', () => {
  const left = publishCdiSpecification(directory, '/old/hook');
  using _ = publishCdiSpecification(directory, '/new/hook');
  left[Symbol.dispose]();
  expect(JSON.stringify(published())).toContain('/new/hook');
});
