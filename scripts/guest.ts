/** `make guest-up` and what one does with guests by hand. GUEST (1 when not set) chooses among several. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { findAcceleration } from '../test/guest/acceleration.ts';
import { GuestHost } from '../test/guest/guest-host.ts';
import type { Guest } from '../test/guest/guest.ts';
import { KERNEL_SERIES } from '../test/guest/packages.ts';
import { ensureGuestParts } from '../test/guest/parts.ts';

const USAGE = `usage: node scripts/guest.ts VERB
  up [COUNT]              build what is missing and boot guests; KERNEL=${KERNEL_SERIES.join('|')}, INIT=script|systemd
  build                   only build what is missing of all that guests are made of
  down                    end them and remove all that they were
  exec COMMAND            run a command line in the guest
  copy FILE PATH          put a small file into the guest
  migrate [shared|stop]   move the guest to another QEMU on another machine
  save FILE               write the guest's state and end it
  restore FILE            go on from there
  cut SECONDS             take its network away for so long
  pause, continue         stop its processor, and go on
  qmp                     print the path of QEMU's monitor`;

const [verb, ...words] = process.argv.slice(2);
const index = Number(process.env['GUEST'] ?? 1);
const guest = (): Guest => GuestHost.attach().guest(index);

const VERBS: Readonly<Record<string, () => Promise<void>>> = {
  up,
  build: () => findAcceleration(ensureGuestParts()).then(() => undefined),
  down: () => GuestHost.attach().down(),
  exec,
  copy: async () => guest().write(words[1] ?? '', readFileSync(words[0] ?? '')),
  migrate: async () => console.log(JSON.stringify(await guest().migrate(words[0] === 'stop' ? 'stop' : 'shared'))),
  save: () => guest().save(resolve(words[0] ?? '')),
  restore: () => guest().restore(resolve(words[0] ?? '')),
  cut: () => guest().cutNetworkFor(Number(words[0]) * 1000),
  pause: () => guest().pause(),
  continue: () => guest().continue(),
  qmp: () => Promise.resolve(console.log(guest().qmpSocket)),
};

async function up(): Promise<void> {
  const startedAt = Date.now();
  const kernel = KERNEL_SERIES.find((series) => series === process.env['KERNEL']);
  const init = process.env['INIT'] === 'systemd' ? 'systemd' : 'script';
  const host = await GuestHost.up({ lifetime: 'on its own', init, ...(kernel === undefined ? {} : { kernel }) });
  const count = Number(words[0] ?? 1);
  const guests = await Promise.all(Array.from({ length: count }, (_, at) => host.boot(at + 1)));
  const seconds = ((Date.now() - startedAt) / 1000).toFixed(1);
  console.error(`up after ${seconds} s, run by ${host.acceleration === 'kvm' ? 'KVM' : 'emulation (TCG)'}`);
  for (const { name, address } of guests) console.log(`${name}  ${address}`);
  console.log(`the host's network: ${host.enter.join(' ')} COMMAND`);
}

async function exec(): Promise<void> {
  const { code, output } = await guest().attempt(words.join(' '));
  process.stdout.write(output);
  process.exitCode = code;
}

const action = VERBS[verb ?? ''];
if (action === undefined) {
  console.error(USAGE);
  process.exit(2);
}
try {
  await action();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
