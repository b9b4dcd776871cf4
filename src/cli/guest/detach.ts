import { rmSync } from 'node:fs';
import { CommandError } from '../failure.ts';
import type { Attachment, Attachments } from './attachment.ts';
import { hypervisorOf } from './hypervisor/choose.ts';
import { stopVhostDevice } from './vhost-device.ts';

/** Takes a guest's claim away: its devices, the process behind them, its ticket. The ticket that it holds runs out by itself. */
export async function detach(attachment: Attachment, attachments: Attachments): Promise<void> {
  await unplugAll(attachment, attachments);
  rmSync(attachment.ticket, { force: true });
  attachments.remove(attachment.domain);
}

/**
 * Unplugs what would block a migration: the vsock device of a process, and the disk, whose file another host has not. The sessions go on
 * over the guest's network.
 */
export async function prepareMigration(attachment: Attachment, attachments: Attachments): Promise<void> {
  await unplugAll(attachment, attachments);
  const { process: _, ...rest } = attachment;
  attachments.write({ ...rest, prepared: true });
}

async function unplugAll(attachment: Attachment, attachments: Attachments): Promise<void> {
  await hypervisorOf(attachment.hypervisor, attachment.domain).unplug();
  if (attachment.process !== undefined) stopVhostDevice(attachment.process, attachments.folderOf(attachment.domain));
}

/** The attachment of a domain. @throws CommandError if there is none. */
export function attachmentOf(domain: string, attachments: Attachments): Attachment {
  const found = attachments.find(domain);
  if (found === undefined)
    throw new CommandError(`domain ${domain} has no claim: aquifer guest list shows those that have`);
  return found;
}
