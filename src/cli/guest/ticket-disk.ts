import type { TicketFile } from '../../api/ticket-file.ts';

/** Disks have whole sectors. */
const SECTOR_BYTES = 512;

/** The serial number of the disk: the guest finds it as /dev/disk/by-id/virtio-aquifer-ticket. */
export const TICKET_SERIAL = 'aquifer-ticket';

/**
 * The content of the small disk by which a guest gets its ticket: root alone reads it, it can be plugged into a guest that runs, and
 * the connector reads it as it reads a file, since blanks behind JSON mean nothing.
 */
export function ticketDisk(ticket: TicketFile): Buffer {
  const text = Buffer.from(`${JSON.stringify(ticket, undefined, 2)}\n`);
  const disk = Buffer.alloc(Math.ceil(text.length / SECTOR_BYTES) * SECTOR_BYTES, '\n');
  text.copy(disk);
  return disk;
}
