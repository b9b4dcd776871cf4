import { afterEach, beforeEach, test } from '@jest/globals';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { recordingLog } from '../../test/support/builders.ts';
import { eventually } from '../../test/support/eventually.ts';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { serveLines } from '../ipc/line-server.ts';
import { reconnectingClient } from '../ipc/reconnecting-client.ts';
import { slicePublisher, type SliceSupply } from './slice-publisher.ts';

let directory = '';
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'aq-slices-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

/** The device plugin's end of the socket. */
async function plugin(taken: Promise<void> = Promise.resolve()) {
  const told: string[] = [];
  const server = await serveLines(join(directory, 'plugin.sock'), 'device-plugin', {
    async request(_, op, { capacity, withdrawn }) {
      told.push(`${op} ${String(capacity)}-${String(withdrawn)}`);
      await taken;
      return {};
    },
    failed: () => undefined,
  });
  return { told, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

function publishing() {
  const clock = new ManualClock();
  const client = reconnectingClient({ path: join(directory, 'plugin.sock'), name: 'backend', version: 'test' });
  const known: string[] = [];
  const told = ({ capacity, withdrawn }: SliceSupply) => void known.push(`${capacity}-${withdrawn}`);
  const publisher = slicePublisher({ plugin: client, told, clock, log: recordingLog() });
  const dispose = async (): Promise<void> => {
    client[Symbol.dispose]();
    await publisher[Symbol.asyncDispose]();
  };
  return { clock, publisher, known, [Symbol.asyncDispose]: dispose };
}

const says = (told: readonly string[], ...wanted: string[]) =>
  eventually(
    () => told.join(', '),
    (text) => text === wanted.join(', '),
  );

test('each change is told, and nothing twice', async () => {
  await using at = await plugin();
  await using t = publishing();
  t.publisher.publish({ capacity: 100, withdrawn: 0 });
  await says(at.told, 'publishSlices 100-0');
  t.publisher.publish({ capacity: 100, withdrawn: 0 });
  t.publisher.publish({ capacity: 100, withdrawn: 25 });
  await says(at.told, 'publishSlices 100-0', 'publishSlices 100-25');
  await says(t.known, '100-0', '100-25');
});

test('of changes that come while one is told the last is told', async () => {
  const { promise: taken, resolve: take } = Promise.withResolvers<void>();
  await using at = await plugin(taken);
  await using t = publishing();
  for (const withdrawn of [0, 1, 2, 3]) t.publisher.publish({ capacity: 9, withdrawn });
  await says(at.told, 'publishSlices 9-0');
  t.publisher.publish({ capacity: 9, withdrawn: 4 });
  take();
  await says(at.told, 'publishSlices 9-0', 'publishSlices 9-4');
});

test('a plugin that is away is told when it comes, and one that was replaced hears it again', async () => {
  await using t = publishing();
  t.publisher.publish({ capacity: 100, withdrawn: 5 });
  {
    await using at = await plugin();
    await eventually(
      async () => (await t.clock.advance(5000), at.told.length),
      (count) => count > 0,
    );
  }
  await using next = await plugin();
  await eventually(
    async () => (await t.clock.advance(10_000), next.told[0]),
    (first) => first === 'publishSlices 100-5',
  );
});
