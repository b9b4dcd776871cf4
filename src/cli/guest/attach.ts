import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { isAlive } from '../../ipc/process-identity.ts';
import type { TicketFile } from '../../api/ticket-file.ts';
import { CommandError } from '../failure.ts';
import type { Console } from '../verb.ts';
import type { Attachment, Attachments } from './attachment.ts';
import { chooseChannel, type GuestChannel } from './channel.ts';
import { forGuest } from './guest-addresses.ts';
import { hypervisorOf } from './hypervisor/choose.ts';
import type { Hypervisor } from './hypervisor/hypervisor.ts';
import { TICKET, type VsockDevice, type Wish } from './hypervisor/qemu-plan.ts';
import { offer } from './offer.ts';
import { ticketDisk } from './ticket-disk.ts';
import { startVhostDevice, vhostDeviceProgram } from './vhost-device.ts';

/** libvirt's own user runs its guests: it cannot go through a directory that is ours alone. */
const LIBVIRT_DISKS = '/var/lib/aquifer-guests';
const KERNEL_VSOCK = '/dev/vhost-vsock';
/** The first context id that is given out; those below are left to people. */
const FIRST_CID = 10_000;

/** What is asked for a domain. */
export interface AttachWish extends Pick<
  Attachment,
  'domain' | 'namespace' | 'claim' | 'hypervisor' | 'addresses' | 'offered'
> {
  readonly channel: GuestChannel | 'auto';
  readonly key: string | undefined;
  /** How long it may ask for its ticket, where that is offered. */
  readonly offerSeconds: number;
}

export interface Prepared {
  readonly attachment: Attachment;
  readonly hypervisor: Hypervisor;
  /** What the guest is to have. */
  readonly devices: Wish;
}

/** Makes all that a guest needs but its devices, which are left to `plug`. Again, it makes what is missing. */
export async function prepare(wish: AttachWish, attachments: Attachments, console: Console): Promise<Prepared> {
  const before = attachments.find(wish.domain);
  refuseAnother(before, wish);
  refuseLibvirt(wish);
  const hypervisor = hypervisorOf(wish.hypervisor, wish.domain);
  const plugged = await hypervisor.pluggedIn();
  const attachment =
    before === undefined
      ? first(wish, await channelFor(wish, hypervisor, console), attachments)
      : { ...before, ...terms(wish) };
  // One that the guest has not yet may have been made long ago. What is offered is made when it is asked for, of the same claim.
  const ticket = plugged?.has(TICKET) === true ? undefined : await ticketFor(attachment, console);
  if (ticket !== undefined && !attachment.offered) writeDisk(attachment.ticket, ticket);
  attachments.write(attachment);
  const around = { hypervisor, attachments, console };
  const made = attachment.channel === 'vhost-user-vsock' ? await withProcess(attachment, around) : attachment;
  const folder = attachments.folderOf(made.domain);
  if (ticket !== undefined && made.offered)
    offer(made, folder, { endpoints: ticket.endpoints, seconds: wish.offerSeconds, now: console.now() });
  const disk = made.offered ? {} : { ticket: made.ticket };
  return { attachment: made, hypervisor, devices: { ...disk, vsock: vsockOf(made, attachments) } };
}

/** What may be another at each attach. */
const terms = ({ hypervisor, addresses, key }: AttachWish) => ({
  hypervisor,
  addresses,
  ...(key === undefined ? {} : { key }),
  prepared: false,
});

function first(wish: AttachWish, channel: GuestChannel, attachments: Attachments): Attachment {
  const { domain, namespace, claim, offered } = wish;
  refuseWithoutVsock(wish, channel);
  const cid = channel === 'vsock' ? { cid: freeCid(attachments) } : {};
  return {
    domain,
    namespace,
    claim,
    offered,
    ...terms(wish),
    channel,
    ticket: ticketFileOf(wish, attachments),
    ...cid,
  };
}

const INSTEAD = 'leave --offer out: the ticket comes as a disk then';

/** An offer is for a guest that cannot be taken for another one. */
function refuseLibvirt({ offered, hypervisor }: AttachWish): void {
  if (offered && hypervisor.kind === 'libvirt')
    throw new CommandError(
      `--offer: libvirt gives the context id of a domain that has stopped to another one, which could ask in its place; ${INSTEAD}`,
    );
}

function refuseWithoutVsock({ offered, domain }: AttachWish, channel: GuestChannel): void {
  if (offered && channel === 'tcp')
    throw new CommandError(`--offer: ${domain} has no vsock, by which it could be told from others; ${INSTEAD}`);
}

interface Around {
  readonly hypervisor: Hypervisor;
  readonly attachments: Attachments;
  readonly console: Console;
}

/** Sees to it that the process runs that is the guest's vsock device. */
async function withProcess(attachment: Attachment, { hypervisor, attachments, console }: Around): Promise<Attachment> {
  const { process, domain } = attachment;
  if (process !== undefined && isAlive(process)) return attachment;
  // The device of one that has died is dead for good: both are made anew.
  if (process !== undefined) await hypervisor.unplug();
  const program = vhostDeviceProgram(console.env['PATH'] ?? '');
  if (program === undefined) throw new CommandError('vhost-device-vsock is no longer on the PATH');
  const gateway = join(console.dataDir, 'run', 'vsock.sock');
  const started = await startVhostDevice(program, attachments.folderOf(domain), gateway);
  const made = { ...attachment, process: started.process };
  attachments.write(made);
  return made;
}

function vsockOf({ channel, cid, domain }: Attachment, attachments: Attachments): VsockDevice | undefined {
  if (channel === 'vhost-user-vsock') return { socket: join(attachments.folderOf(domain), 'vhost.sock') };
  return cid === undefined ? undefined : { cid };
}

function refuseAnother(before: Attachment | undefined, wish: AttachWish): void {
  const { domain, namespace, claim, channel, offered } = wish;
  if (before === undefined) return;
  const detach = `detach it first: aquifer guest detach ${domain}`;
  if (before.claim !== claim || before.namespace !== namespace)
    throw new CommandError(`domain ${domain} has claim ${before.namespace}/${before.claim}: ${detach}`);
  if (channel !== 'auto' && channel !== before.channel)
    throw new CommandError(`domain ${domain} is attached by ${before.channel}: ${detach}`);
  if (offered !== before.offered)
    throw new CommandError(
      `domain ${domain} gets its ticket ${before.offered ? 'by --offer' : 'as a disk'}: ${detach}`,
    );
}

async function channelFor({ channel }: AttachWish, hypervisor: Hypervisor, { env }: Console): Promise<GuestChannel> {
  const chosen = chooseChannel(channel, {
    kernelVsock: existsSync(KERNEL_VSOCK),
    vhostDevice: vhostDeviceProgram(env['PATH'] ?? '') !== undefined,
    noVhostUser: await hypervisor.noVhostUser(),
  });
  if (!chosen.ok) throw new CommandError(chosen.error);
  return chosen.value;
}

async function ticketFor(attachment: Attachment, console: Console): Promise<TicketFile> {
  const { namespace, claim: name, key, addresses, channel } = attachment;
  const body = {
    namespace,
    name,
    ...(key === undefined ? {} : { for: key }),
    ...(addresses.length === 0 ? {} : { addresses }),
  };
  const reply = await console.api.call({ method: 'POST', path: '/tickets', body });
  const ticket = forGuest(reply.body as TicketFile, channel);
  if (!ticket.ok) throw new CommandError(ticket.error);
  return ticket.value;
}

const ticketFileOf = ({ domain, hypervisor }: AttachWish, attachments: Attachments): string =>
  hypervisor.kind === 'libvirt' && hypervisor.uri.endsWith('/system')
    ? join(LIBVIRT_DISKS, `${domain}.ticket`)
    : join(attachments.folderOf(domain), 'ticket');

function writeDisk(file: string, ticket: TicketFile): void {
  mkdirSync(dirname(file), { recursive: true, mode: 0o711 });
  writeFileSync(file, ticketDisk(ticket), { mode: 0o600 });
}

const freeCid = (attachments: Attachments): number =>
  Math.max(FIRST_CID - 1, ...attachments.list().map(({ cid }) => cid ?? 0)) + 1;
