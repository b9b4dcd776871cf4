import type { Acceleration } from './acceleration.ts';
import type { GuestParts } from './parts.ts';

export const QEMU = 'qemu-system-x86_64';

/** The first process of a guest: a script that starts what containers need, or systemd, with few units. */
export const INITS = { script: '/sbin/init', systemd: '/lib/systemd/systemd' } as const;
export type Init = keyof typeof INITS;

/** A guest as QEMU sees it. All processes that one guest has in its life are started with the same, or it could not migrate. */
export interface Machine {
  readonly name: string;
  /** 1 to 200: its address on the bridge is 10.77.0.(10 + index). */
  readonly index: number;
  readonly memoryMiB: number;
  readonly acceleration: Acceleration;
  readonly parts: GuestParts;
  readonly init: Init;
  /** The disk that becomes /usr/local. */
  readonly productDisk: string;
}

export interface Process {
  /** Where its sockets and its console are. */
  readonly folder: string;
  /** The file that is the guest's memory. */
  readonly memory: string;
  /** Where the state comes from when the guest does not boot. */
  readonly incoming?: string;
}

/** The host's address on the bridge. */
export const HOST_ADDRESS = '10.77.0.1';
export const addressOf = (index: number): string => `10.77.0.${10 + index}`;

/** Ports for what is plugged in later. */
const HOTPLUG_PORTS = ['hotplug0', 'hotplug1'];

export function qemuCommand(machine: Machine, process: Process): readonly string[] {
  return [QEMU, ...hardware(machine, process), ...devices(machine), ...boot(machine), ...incoming(process)];
}

function hardware({ name, memoryMiB, acceleration }: Machine, { folder, memory }: Process): readonly string[] {
  return [
    ['-accel', acceleration === 'kvm' ? 'kvm' : 'tcg,thread=multi'],
    ['-cpu', acceleration === 'kvm' ? 'host' : 'max'],
    ['-M', 'q35,memory-backend=memory,smm=off,sata=off,vmport=off,usb=off', '-smp', '1', '-m', String(memoryMiB)],
    // In a file, so that another QEMU on this machine can go on with it, and vhost-user devices can read it.
    ['-object', `memory-backend-file,id=memory,mem-path=${memory},size=${memoryMiB}M,share=on`],
    ['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot', '-name', name],
    ['-qmp', `unix:${folder}/qmp,server=on,wait=off`],
    ['-chardev', `file,id=console,path=${folder}/console`, '-serial', 'chardev:console'],
    ['-chardev', `socket,id=control,path=${folder}/control,server=on,wait=off`, '-serial', 'chardev:control'],
  ].flat();
}

function devices({ index, parts, productDisk }: Machine): readonly string[] {
  const disk = (id: string, file: string): readonly string[] => [
    '-drive',
    `file=${file},format=raw,if=none,id=${id},readonly=on`,
    '-device',
    `virtio-blk-pci,drive=${id},romfile=`,
  ];
  const mac = `52:54:00:77:00:${(10 + index).toString(16).padStart(2, '0')}`;
  return [
    disk('root', parts.root),
    disk('product', productDisk),
    ['-netdev', 'tap,id=net,ifname=tap0,script=no,downscript=no,vhost=off'],
    ['-device', `virtio-net-pci,netdev=net,romfile=,mac=${mac}`],
    HOTPLUG_PORTS.flatMap((id, port) => [
      '-device',
      `pcie-root-port,id=${id},bus=pcie.0,chassis=${port + 1},slot=${port + 1}`,
    ]),
  ].flat();
}

function boot({ name, index, init, parts }: Machine): readonly string[] {
  const words = kernelWords({ name, address: `${addressOf(index)}/24`, gateway: HOST_ADDRESS, init: INITS[init] });
  return ['-kernel', parts.kernel, '-initrd', parts.initramfs, '-append', words];
}

/** What the kernel of a guest is started with; `inside/init` reads the settings. */
export function kernelWords(settings: Readonly<Record<string, string>>): string {
  const own = Object.entries(settings).map(([key, value]) => `guest.${key}=${value}`);
  return [
    'console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable random.trust_cpu=on rcupdate.rcu_expedited=1 8250.nr_uarts=2 net.ifnames=0',
    ...own,
  ].join(' ');
}

const incoming = (process: Process): readonly string[] =>
  process.incoming === undefined ? [] : ['-incoming', process.incoming];
