import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { CommandError } from '../../failure.ts';
import { attachCommands, removeCommands, TICKET, unplugCommand, VSOCK, type Present, type Wish } from './qemu-plan.ts';
import type { Hypervisor } from './hypervisor.ts';
import { Qmp, QmpError, type QmpCommand } from './qmp.ts';

/** A guest answers an unplug within a second, one that is booting or stopped not at all. */
const UNPLUG_MS = 30_000;
const RELEASE_MS = 10_000;
const POLL_MS = 50;

const named = z.array(z.object({ name: z.string() }));
const chardevs = z.array(z.object({ label: z.string() }));
const blockNodes = z.array(z.object({ 'node-name': z.string().optional() }));
const memory = z.array(z.object({ share: z.boolean() }));
const pci = z.array(z.object({ devices: z.array(z.unknown()) }));
const bridge = z.object({
  qdev_id: z.string().min(1),
  pci_bridge: z.object({ devices: z.array(z.unknown()).default([]) }),
});

/** A plain QEMU with its monitor at a unix socket. */
export function qemu(path: string): Hypervisor {
  const ifRunning = async <T>(act: (qmp: Qmp) => Promise<T>): Promise<T | undefined> => {
    using qmp = await Qmp.connect(path);
    return qmp === undefined ? undefined : await act(qmp);
  };
  const running = async <T>(act: (qmp: Qmp) => Promise<T>): Promise<T> => {
    using qmp = await Qmp.connect(path);
    if (qmp === undefined) throw new CommandError(`--qmp: no QEMU listens at ${path}`);
    return await act(qmp);
  };
  return {
    plug: (wish) => running((qmp) => plug(qmp, wish)),
    script: (wish) => running((qmp) => commandLines(qmp, wish)),
    unplug: async () => {
      await ifRunning(unplug);
    },
    pluggedIn: () => ifRunning(pluggedIn),
    noVhostUser: () => running(noVhostUser),
  };
}

/** What `plug` would send, a line each. */
const commandLines = async (qmp: Qmp, wish: Wish): Promise<string> =>
  attachCommands(wish, await presentIn(qmp))
    .map((command) => `${JSON.stringify(command)}\n`)
    .join('');

/** Plugs what the guest has not yet. @throws CommandError with QEMU's reason. */
async function plug(qmp: Qmp, wish: Wish): Promise<void> {
  for (const command of attachCommands(wish, await presentIn(qmp))) {
    try {
      await qmp.execute(command);
    } catch (error) {
      if (error instanceof QmpError && /hotplug/i.test(error.message)) throw noPort(error);
      throw error;
    }
  }
}

/** Unplugs the devices and removes what stood behind them, whatever of it is there. */
async function unplug(qmp: Qmp): Promise<void> {
  const present = await presentIn(qmp);
  for (const id of [VSOCK, TICKET]) if (present.devices.has(id)) await letGo(qmp, id);
  for (const command of removeCommands(present)) await remove(qmp, command);
}

/** Which of our devices the guest has. */
async function pluggedIn(qmp: Qmp): Promise<ReadonlySet<string>> {
  return (await presentIn(qmp)).devices;
}

/** Why a process beside QEMU cannot be a device of this guest; undefined if it can. */
async function noVhostUser(qmp: Qmp): Promise<string | undefined> {
  const backends = memory.parse(await qmp.execute({ execute: 'query-memdev' }));
  return backends.some(({ share }) => share)
    ? undefined
    : "the guest's memory is not shared: it needs -object memory-backend-memfd,share=on,… and -machine memory-backend=…";
}

/** A device is gone from QEMU's list a moment before it has let go of what stood behind it. */
async function remove(qmp: Qmp, command: QmpCommand): Promise<void> {
  const deadline = performance.now() + RELEASE_MS;
  for (;;) {
    try {
      return void (await qmp.execute(command));
    } catch (error) {
      if (!(error instanceof QmpError && / busy| in use/.test(error.message)) || performance.now() > deadline)
        throw error;
      await sleep(POLL_MS);
    }
  }
}

async function letGo(qmp: Qmp, id: string): Promise<void> {
  const deadline = performance.now() + UNPLUG_MS;
  await qmp.execute(unplugCommand(id)).catch((error: unknown) => {
    // Asked before: it is on its way.
    if (!(error instanceof QmpError && /in the process of unplug/.test(error.message))) throw error;
  });
  while ((await pluggedIn(qmp)).has(id)) {
    if (performance.now() > deadline)
      throw new CommandError(`the guest has not let go of ${id} in ${UNPLUG_MS / 1000} s: is it running?`);
    await sleep(POLL_MS);
  }
}

async function presentIn(qmp: Qmp): Promise<Present> {
  const ask = (execute: string, words = {}): Promise<unknown> => qmp.execute({ execute, arguments: words });
  const devices = named.parse(await ask('qom-list', { path: '/machine/peripheral' }));
  const nodes = blockNodes.parse(await ask('query-named-block-nodes'));
  const buses = pci.parse(await ask('query-pci'));
  return {
    devices: new Set(devices.map(({ name }) => name)),
    chardevs: new Set(chardevs.parse(await ask('query-chardev')).map(({ label }) => label)),
    blockNodes: new Set(nodes.flatMap(({ 'node-name': name }) => name ?? [])),
    freeBuses: buses.flatMap(({ devices: all }) => all.flatMap(freePort)),
  };
}

function freePort(device: unknown): readonly string[] {
  const parsed = bridge.safeParse(device);
  return parsed.success && parsed.data.pci_bridge.devices.length === 0 ? [parsed.data.qdev_id] : [];
}

const noPort = (cause: QmpError): CommandError =>
  new CommandError(
    `${cause.message}; the guest needs a free port for each device: -device pcie-root-port,id=aquifer0,chassis=1,slot=1 and another`,
    { cause },
  );
