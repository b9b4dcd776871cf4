import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { recordingLog } from '../../test/support/builders.ts';
import { removeOldClients } from './old-clients.ts';

let node = '';
let log = recordingLog();
beforeEach(() => {
  node = mkdtempSync(join(tmpdir(), 'aq-old-clients-'));
  log = recordingLog();
  mkdirSync(join(node, 'device-plugins'));
  for (const version of ['1.0.0', '1.1.0', '1.2.0']) place(version);
});
afterEach(() => rmSync(node, { recursive: true }));

const client = (version: string): string => join(node, 'client', version);
const left = (): readonly string[] => readdirSync(join(node, 'client')).toSorted((a, b) => a.localeCompare(b));
const remove = (): Promise<void> => removeOldClients({ clientDir: client('1.2.0'), kubeletDir: node, log });

function place(version: string, files: readonly string[] = ['libcuda.so.1', 'libnvidia-ml.so.1']): void {
  mkdirSync(client(version), { recursive: true });
  for (const file of files) writeFileSync(join(client(version), file), version);
}

/** Kubelet's record, with containers that have the libraries of these versions mounted. */
function record(versions: readonly string[], text?: string): void {
  const entries = versions.map((version) => {
    const path = join(client(version), 'libcuda.so.1');
    const answer = Buffer.concat([Buffer.from([0x12, path.length + 2, 0x12, path.length]), Buffer.from(path)]);
    const DeviceIDs = { '-1': ['slot-7'] };
    return { PodUID: 'x', ContainerName: 'main', ResourceName: 'r', DeviceIDs, AllocResp: answer.toString('base64') };
  });
  const checkpoint = { Data: { PodDeviceEntries: entries, RegisteredDevices: {} }, Checksum: 1 };
  writeFileSync(join(node, 'device-plugins/kubelet_internal_checkpoint'), text ?? JSON.stringify(checkpoint));
}

test('libraries of other versions go, but not those that a pod may need at its next start', async () => {
  record(['1.1.0', '1.2.0']);
  await remove();
  expect(left()).toEqual(['1.1.0', '1.2.0']);
  record([]);
  await remove();
  expect(left()).toEqual(['1.2.0']);
});

test('a version whose name begins as another’s does is not taken for it', async () => {
  place('1.1.0-rc.1');
  record(['1.1.0-rc.1']);
  await remove();
  expect(left()).toEqual(['1.1.0-rc.1', '1.2.0']);
});

test('what an interrupted start left goes, too', async () => {
  place('1.3.0.new', ['libcuda.so.1']);
  record([]);
  await remove();
  expect(left()).toEqual(['1.2.0']);
});

test('what is not ours stays', async () => {
  place('notes', ['libcuda.so.1', 'README']);
  mkdirSync(join(client('deep'), 'libcuda.so.1'), { recursive: true });
  writeFileSync(client('file'), '');
  record([]);
  await remove();
  expect(left()).toEqual(['1.2.0', 'deep', 'file', 'notes']);
});

test.each(['', '{}', '{"Data":{"PodDeviceEntries":[{"AllocResp":7}]}}'])(
  'nothing goes while kubelet’s record cannot be read: %s',
  async (text) => {
    record([], text);
    await remove();
    expect(left()).toEqual(['1.0.0', '1.1.0', '1.2.0']);
    expect(log.lines.map((line) => line.text)).toEqual(['client libraries of other versions are left']);
  },
);
