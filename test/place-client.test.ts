import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const SCRIPT = readFileSync(resolve(import.meta.dirname, '../deploy/helm/aquifer/files/place-client.cjs'), 'utf8');

let folder: string;
let image: string;
let hook: string;
let node: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'aq-place-'));
  image = join(folder, 'image');
  hook = join(folder, 'container-hook');
  node = join(folder, 'client/1.0');
  mkdirSync(image);
  writeFileSync(join(image, 'libcuda.so.1'), 'first', { mode: 0o755 });
  writeFileSync(hook, 'program', { mode: 0o755 });
});
afterEach(() => rmSync(folder, { recursive: true }));

/** As the chart has the init container run it. */
const place = (): unknown => execFileSync(process.execPath, ['-e', SCRIPT, image, hook, node], { stdio: 'pipe' });

test('the client libraries and the hook come to the node as they are in the image', () => {
  place();
  expect(readFileSync(join(node, 'libcuda.so.1'), 'utf8')).toBe('first');
  expect(readFileSync(join(node, 'container-hook'), 'utf8')).toBe('program');
  for (const file of readdirSync(node)) expect(statSync(join(node, file)).mode & 0o777).toBe(0o755);
  expect(readdirSync(join(node, '..'))).toEqual(['1.0']);
});

test('what a crash left half done is made anew', () => {
  mkdirSync(`${node}.new`, { recursive: true });
  writeFileSync(join(`${node}.new`, 'libcuda.so.1'), 'fi');
  place();
  expect(readFileSync(join(node, 'libcuda.so.1'), 'utf8')).toBe('first');
});

test('what programs have mapped stays as it is', () => {
  place();
  const before = statSync(join(node, 'libcuda.so.1')).ino;
  writeFileSync(join(image, 'libcuda.so.1'), 'second');
  place();
  expect(statSync(join(node, 'libcuda.so.1')).ino).toBe(before);
  expect(readFileSync(join(node, 'libcuda.so.1'), 'utf8')).toBe('first');
});
