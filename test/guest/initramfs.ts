/** A file, folder or link of an initramfs. */
export interface Entry {
  readonly name: string;
  readonly mode: number;
  readonly content: Buffer | string;
}

export const folder = (name: string): Entry => ({ name, mode: 0o040755, content: '' });
export const program = (name: string, content: Buffer | string): Entry => ({ name, mode: 0o100755, content });
export const file = (name: string, content: Buffer | string): Entry => ({ name, mode: 0o100644, content });
export const link = (name: string, target: string): Entry => ({ name, mode: 0o120777, content: target });

const MAGIC = '070701';
const ALIGNMENT = 4;

/** A cpio archive in the format `newc`, which the kernel unpacks. Folders go before what is in them. */
export function cpioArchive(entries: readonly Entry[]): Buffer {
  const all = [...entries, { name: 'TRAILER!!!', mode: 0, content: '' }];
  return Buffer.concat(all.flatMap((entry, index) => record(entry, index + 1)));
}

function record({ name, mode, content }: Entry, inode: number): readonly Buffer[] {
  const data = Buffer.from(content);
  const path = Buffer.from(`${name}\0`);
  // inode, mode, uid, gid, links, mtime, size, four device numbers, length of the name, checksum
  const fields = [inode, mode, 0, 0, 1, 0, data.length, 0, 0, 0, 0, path.length, 0];
  const header = MAGIC + fields.map((field) => field.toString(16).padStart(8, '0')).join('');
  return [padded(Buffer.concat([Buffer.from(header), path])), padded(data)];
}

const padded = (bytes: Buffer): Buffer => Buffer.concat([bytes, Buffer.alloc(-bytes.length & (ALIGNMENT - 1))]);
