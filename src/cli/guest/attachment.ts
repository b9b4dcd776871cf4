import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { GUESTS_FOLDER } from '../../api/guest-offer.ts';
import { CommandError, UsageError } from '../failure.ts';
import { CHANNELS } from './channel.ts';

const hypervisorName = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('qemu'), qmp: z.string() }),
  z.strictObject({ kind: z.literal('libvirt'), uri: z.string() }),
]);
/** Which hypervisor runs a guest, and how it is reached. */
export type HypervisorName = z.infer<typeof hypervisorName>;

const attachmentSchema = z.strictObject({
  domain: z.string(),
  namespace: z.string(),
  claim: z.string(),
  hypervisor: hypervisorName,
  channel: z.enum(CHANNELS),
  /** Whether what would block a migration is unplugged. */
  prepared: z.boolean(),
  /** Where the guest's network reaches the gateway; none for where serve says. */
  addresses: z.array(z.string()),
  /** The key that its ticket is bound to. */
  key: z.string().optional(),
  /** Whether it asks for its ticket over vsock, instead of having a disk with it. */
  offered: z.boolean().default(false),
  /** The file that is the ticket disk. */
  ticket: z.string(),
  /** Of the kernel's vsock. */
  cid: z.int().optional(),
  /** The process that is the vsock device. */
  process: z.strictObject({ pid: z.int(), startTime: z.int() }).optional(),
});
/** A claim that a guest was given. Written before anything is done for it, so that whatever is cut short can be undone. */
export type Attachment = Readonly<z.infer<typeof attachmentSchema>>;

/** The attachments of a data directory, a folder each. */
export interface Attachments {
  folderOf(domain: string): string;
  list(): readonly Attachment[];
  find(domain: string): Attachment | undefined;
  write(attachment: Attachment): void;
  remove(domain: string): void;
}

export function attachmentsIn(dataDir: string): Attachments {
  const root = join(dataDir, GUESTS_FOLDER);
  const folderOf = (domain: string): string => join(root, checkedName(domain));
  const fileOf = (domain: string): string => join(folderOf(domain), 'attachment.json');
  const find = (domain: string): Attachment | undefined =>
    existsSync(fileOf(domain)) ? read(fileOf(domain)) : undefined;
  return {
    folderOf,
    find,
    list: () => (existsSync(root) ? readdirSync(root).toSorted() : []).flatMap((domain) => find(domain) ?? []),
    write(attachment) {
      const file = fileOf(attachment.domain);
      mkdirSync(folderOf(attachment.domain), { recursive: true, mode: 0o700 });
      writeFileSync(`${file}.new`, `${JSON.stringify(attachment, undefined, 2)}\n`, { mode: 0o600 });
      renameSync(`${file}.new`, file);
    },
    remove: (domain) => rmSync(folderOf(domain), { recursive: true, force: true }),
  };
}

function read(file: string): Attachment {
  try {
    return attachmentSchema.parse(JSON.parse(readFileSync(file, 'utf8')));
  } catch (cause) {
    throw new CommandError(`${file} is not what aquifer wrote: remove it, and the devices aquifer-* of the guest`, {
      cause,
    });
  }
}

/** A domain's name is the name of a folder, too. */
function checkedName(domain: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/.test(domain)) return domain;
  throw new UsageError(
    `invalid domain ${JSON.stringify(domain)}: letters, digits, "_", "." and "-", at most 64, are supported`,
  );
}
