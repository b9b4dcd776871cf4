import { resolve } from 'node:path';
import { parseDuration } from '../../lib/duration.ts';
import { UsageError } from '../failure.ts';
import { addressFlag, namespaceFlag } from '../flag.ts';
import { aligned } from '../table.ts';
import type { Console, Input, Verb } from '../verb.ts';
import { prepare, type AttachWish } from './attach.ts';
import { attachmentsIn, type Attachment, type Attachments, type HypervisorName } from './attachment.ts';
import { CHANNELS, type GuestChannel } from './channel.ts';
import { attachmentOf, detach, prepareMigration } from './detach.ts';
import { hypervisorOf } from './hypervisor/choose.ts';
import { TICKET, VSOCK } from './hypervisor/qemu-plan.ts';
import { OFFER_SECONDS, ticketState } from './offer.ts';
import { TICKET_SERIAL } from './ticket-disk.ts';

const SYSTEM_URI = 'qemu:///system';
/** Whoever is to ask later is given the disk. */
const MAX_OFFER_MS = 24 * 3_600_000;

export const guestVerb: Verb = {
  name: 'guest',
  usage: '(attach DOMAIN --claim NAME | list | detach DOMAIN | prepare-migration DOMAIN [--finish]) [flags]',
  summary: "Give a running KVM guest of this host a claim's vGPUs",
  details:
    'The guest gets a small disk with its ticket (/dev/disk/by-id/virtio-aquifer-ticket) and, where it can have one, a vsock\n' +
    'device; once its owner has copied that to /etc/aquifer/ticket.json, the connector in it does the rest. With --offer there is no disk: the connector of the guest asks for its ticket over vsock, and the\n' +
    'first key that asks has it. DOMAIN is one of libvirt, or any name with --qmp for a plain QEMU. Every\n' +
    'command may be repeated. What would block a live migration is unplugged by prepare-migration, and plugged again with\n' +
    '--finish when the guest has moved; its sessions go on over the network meanwhile.',
  examples: [
    'aquifer guest attach build-vm --claim trainer',
    'aquifer guest attach vm1 --claim trainer --qmp /run/vm1.qmp --address 10.0.0.1:9960',
    'aquifer guest attach build-vm --claim trainer --print',
    'aquifer guest prepare-migration build-vm && virsh migrate --live build-vm qemu+ssh://other/system',
  ],
  flags: [
    { name: 'claim', value: 'NAME', help: 'The claim that the guest is to have' },
    namespaceFlag,
    {
      name: 'qmp',
      value: 'PATH',
      help: 'The guest is a plain QEMU with its monitor at this unix socket (-qmp unix:PATH)',
    },
    { name: 'connect', value: 'URI', help: 'The libvirt that has the domain', default: SYSTEM_URI },
    {
      name: 'channel',
      value: 'CHANNEL',
      help: `How it reaches the gateway: auto, ${CHANNELS.join(', ')}`,
      default: 'auto',
    },
    addressFlag,
    { name: 'for', value: 'KEY', help: "Bind the ticket to the key of the guest's connector" },
    { name: 'offer', help: "No disk: the first key that asks over the guest's vsock gets the ticket" },
    { name: 'expires', value: 'TIME', help: 'With --offer: how long the guest may ask, if not 10m' },
    { name: 'print', help: 'Print what is to be plugged, XML or QMP commands, instead of plugging it' },
    { name: 'finish', help: 'With prepare-migration: the guest has moved, plug again; --qmp where its monitor is now' },
  ],
  run: runGuest,
};

async function runGuest(input: Input, console: Console): Promise<number> {
  const [command, domain, ...more] = input.args;
  const attachments = attachmentsIn(console.dataDir);
  if (command === 'list' && domain === undefined) await list(attachments, console);
  else if (domain === undefined || more.length > 0 || !Object.hasOwn(commands, command ?? ''))
    throw new UsageError(`what is wanted is: aquifer guest ${guestVerb.usage}`);
  else await commands[command as keyof typeof commands]({ domain, input, console, attachments });
  return 0;
}

interface Asked {
  readonly domain: string;
  readonly input: Input;
  readonly console: Console;
  readonly attachments: Attachments;
}

const commands = {
  async attach({ domain, input, console, attachments }: Asked): Promise<void> {
    const claim = input.text('claim');
    if (claim === undefined) throw new UsageError('--claim NAME is needed');
    const wish: AttachWish = {
      domain,
      claim,
      namespace: input.text('namespace') ?? 'default',
      hypervisor: hypervisorIn(input),
      channel: channelIn(input),
      addresses: [...input.texts('address')],
      key: input.text('for'),
      ...offerIn(input),
    };
    await plug(wish, { input, console, attachments });
  },

  async detach({ domain, attachments, console }: Asked): Promise<void> {
    const found = attachments.find(domain);
    if (found !== undefined) await detach(found, attachments);
    console.err(found === undefined ? `domain ${domain} has no claim` : `domain ${domain} detached`);
  },

  async 'prepare-migration'({ domain, input, console, attachments }: Asked): Promise<void> {
    const attachment = attachmentOf(domain, attachments);
    if (!input.isSet('finish')) {
      await prepareMigration(attachment, attachments);
      return console.err(
        `domain ${domain} can be migrated now; then: aquifer guest prepare-migration ${domain} --finish`,
      );
    }
    const hypervisor = input.text('qmp') === undefined ? attachment.hypervisor : hypervisorIn(input);
    const { domain: _, key, ...before } = attachment;
    const wish: AttachWish = { ...before, domain, key, hypervisor, offerSeconds: OFFER_SECONDS };
    await plug(wish, { input, console, attachments });
  },
};

async function plug(wish: AttachWish, { input, console, attachments }: Omit<Asked, 'domain'>): Promise<void> {
  const { attachment, hypervisor, devices } = await prepare(wish, attachments, console);
  if (input.isSet('print')) return console.out(await hypervisor.script(devices));
  await hypervisor.plug(devices);
  const { domain, namespace, claim, channel } = attachment;
  console.err(`domain ${domain} has claim ${namespace}/${claim} (${channel})`);
  if (attachment.offered) console.err('in the guest: aquifer-connector guest asks for its ticket by itself');
  else console.err(`in the guest, once: cp /dev/disk/by-id/virtio-${TICKET_SERIAL} /etc/aquifer/ticket.json`);
}

async function list(attachments: Attachments, console: Console): Promise<void> {
  const rows = attachments.list().map(async (attachment) => {
    const { domain, namespace, claim, channel, hypervisor } = attachment;
    const ticket = ticketState(attachment, attachments.folderOf(domain), console.now());
    return [domain, `${namespace}/${claim}`, channel, hypervisor.kind, ticket, await stateOf(attachment)];
  });
  if (rows.length === 0) return console.err('No guest has a claim.');
  console.out(aligned([['DOMAIN', 'CLAIM', 'CHANNEL', 'HYPERVISOR', 'TICKET', 'STATE'], ...(await Promise.all(rows))]));
}

/** Attached, Prepared for a migration, Stopped, or Incomplete: then `attach` makes what is missing. */
async function stateOf({ domain, hypervisor, channel, prepared, offered }: Attachment): Promise<string> {
  const devices = await hypervisorOf(hypervisor, domain)
    .pluggedIn()
    .catch((error: unknown) => (error instanceof Error ? error.message : String(error)));
  if (typeof devices === 'string') return `Unknown: ${devices}`;
  if (devices === undefined) return 'Stopped';
  if (prepared) return 'Prepared';
  const wanted = [...(offered ? [] : [TICKET]), ...(channel === 'tcp' ? [] : [VSOCK])];
  return wanted.every((device) => devices.has(device)) ? 'Attached' : 'Incomplete';
}

function hypervisorIn(input: Input): HypervisorName {
  const qmp = input.text('qmp');
  return qmp === undefined
    ? { kind: 'libvirt', uri: input.text('connect') ?? SYSTEM_URI }
    : { kind: 'qemu', qmp: resolve(qmp) };
}

function offerIn(input: Input): Pick<AttachWish, 'offered' | 'offerSeconds'> {
  const offered = input.isSet('offer');
  if (offered && input.text('for') !== undefined) throw new UsageError('--offer and --for exclude each other');
  const said = input.text('expires');
  if (!offered && said !== undefined) throw new UsageError('--expires says how long --offer holds');
  const ms = said === undefined ? OFFER_SECONDS * 1000 : parseDuration(said);
  if (ms === undefined || ms < 1000 || ms > MAX_OFFER_MS)
    throw new UsageError(`invalid argument ${JSON.stringify(said)} for --expires: a time from 1s to 24h, such as 10m`);
  return { offered, offerSeconds: Math.floor(ms / 1000) };
}

function channelIn(input: Input): GuestChannel | 'auto' {
  const said = input.text('channel') ?? 'auto';
  const channel = (['auto', ...CHANNELS] as const).find((known) => known === said);
  if (channel === undefined)
    throw new UsageError(`invalid argument ${JSON.stringify(said)} for --channel: auto, ${CHANNELS.join(', ')}`);
  return channel;
}
