import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';

/** Of the boot protocol: setup sectors, and where the compressed kernel lies behind them. */
const SETUP_SECTORS = 0x1f1;
const PAYLOAD_OFFSET = 0x248;
const PAYLOAD_LENGTH = 0x24c;
const SECTOR = 512;

/** The kernel without its decompressor, which under emulation takes seconds; as it is where it is packed in another way. */
export function bootableKernel(image: Buffer): Buffer {
  const sectors = image.readUInt8(SETUP_SECTORS) || 4;
  const start = (sectors + 1) * SECTOR + image.readUInt32LE(PAYLOAD_OFFSET);
  // The last four bytes are its length when unpacked.
  const payload = image.subarray(start, start + image.readUInt32LE(PAYLOAD_LENGTH) - 4);
  const magic = payload.readUInt32BE(0);
  if (magic === 0x28b52ffd) return zstdDecompressSync(payload);
  if (magic >>> 16 === 0x1f8b) return gunzipSync(payload);
  return image;
}

/** A module of the kernel as insmod takes it. */
export interface Module {
  readonly file: string;
  readonly content: Buffer;
}

/** The named modules below a folder, each behind those that it depends on. What is built into the kernel is left out. */
export function modulesInOrder(folder: string, names: readonly string[]): readonly Module[] {
  const found = new Map<string, string>();
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const name = /^(.*)\.ko(\.xz)?$/.exec(entry.name)?.[1];
    if (name !== undefined) found.set(name.replaceAll('-', '_'), join(entry.parentPath, entry.name));
  }
  const order = new Map<string, Module>();
  const add = (name: string): void => {
    const path = found.get(name);
    if (path === undefined || order.has(name)) return;
    const content = path.endsWith('.xz') ? unpackXz(path) : readFileSync(path);
    for (const needed of dependenciesOf(content)) add(needed);
    order.set(name, { file: `${name}.ko`, content });
  };
  for (const name of names) add(name.replaceAll('-', '_'));
  return [...order.values()];
}

function dependenciesOf(module: Buffer): readonly string[] {
  const field = /\0depends=([^\0]*)\0/.exec(module.toString('latin1'))?.[1] ?? '';
  return field
    .split(',')
    .filter((name) => name !== '')
    .map((name) => name.replaceAll('-', '_'));
}

const unpackXz = (file: string): Buffer =>
  execFileSync('xz', ['--decompress', '--stdout', file], { maxBuffer: 2 ** 28 });
