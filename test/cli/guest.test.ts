import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { commandLineFixture, type CommandLineFixture, type Ran } from '../support/command-line-fixture.ts';
import { fakeQemu, type FakeQemu } from '../support/fake-qemu.ts';

let fixture: CommandLineFixture;
let qmp: string;
let qemu: FakeQemu;

beforeEach(async () => {
  fixture = await commandLineFixture();
  qmp = join(fixture.directory, 'qmp');
  qemu = await fakeQemu(qmp);
});

afterEach(async () => {
  await qemu[Symbol.asyncDispose]();
  await fixture[Symbol.asyncDispose]();
});

const guest = (...words: readonly string[]): Promise<Ran> => fixture.run(['guest', ...words]);
const attach = (domain: string, claim: string, monitor = qmp): Promise<Ran> =>
  guest('attach', domain, '--claim', claim, '--channel', 'tcp', '--qmp', monitor);

test('attaches once, however often it is asked, lists, prepares, finishes and detaches', async () => {
  for (let time = 0; time < 2; time += 1) expect(await attach('vm1', 'trainer')).toMatchObject({ code: 0 });
  expect([...qemu.devices]).toEqual(['aquifer-ticket']);
  const disk = readFileSync(join(fixture.directory, 'data/guests/vm1/ticket'), 'utf8');
  expect(JSON.parse(disk)).toMatchObject({ endpoints: [{ address: 'gpu-1:9960' }] });
  expect((await guest('list')).stdout).toMatch(/^vm1 +default\/trainer +tcp +qemu +Disk +Attached$/m);

  expect(await guest('prepare-migration', 'vm1')).toMatchObject({ code: 0 });
  expect([qemu.devices.size, qemu.blockNodes.size]).toEqual([0, 0]);
  expect((await guest('list')).stdout).toMatch(/Prepared$/m);
  expect(await guest('prepare-migration', 'vm1', '--finish', '--qmp', qmp)).toMatchObject({ code: 0 });
  expect((await guest('list')).stdout).toMatch(/Attached$/m);

  for (let time = 0; time < 2; time += 1) expect(await guest('detach', 'vm1')).toMatchObject({ code: 0 });
  expect([qemu.devices.size, qemu.blockNodes.size]).toEqual([0, 0]);
  expect(await guest('list')).toEqual({ code: 0, stdout: '', stderr: 'No guest has a claim.\n' });
});

test('a guest that could be taken for another is offered nothing', async () => {
  const refused = await guest('attach', 'vm1', '--claim', 'trainer', '--channel', 'tcp', '--qmp', qmp, '--offer');
  expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('vm1 has no vsock') });
  expect((await guest('list')).stdout).toBe('');
});

test('says what a guest lacks, and attach makes it', async () => {
  await attach('vm1', 'trainer');
  qemu.devices.clear();
  expect((await guest('list')).stdout).toMatch(/Incomplete$/m);
  await attach('vm1', 'trainer');
  expect((await guest('list')).stdout).toMatch(/Attached$/m);
});

test('a guest that has ended is listed as stopped, and can be detached', async () => {
  await attach('vm1', 'trainer');
  await qemu[Symbol.asyncDispose]();
  expect((await guest('list')).stdout).toMatch(/Stopped$/m);
  expect(await guest('detach', 'vm1')).toMatchObject({ code: 0 });
});

test('prints what is to be plugged instead of plugging it', async () => {
  const { stdout } = await guest('attach', 'vm1', '--claim', 'trainer', '--channel', 'tcp', '--qmp', qmp, '--print');
  expect(
    stdout
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { readonly execute: string }).execute),
  ).toEqual(['blockdev-add', 'device_add']);
  expect(qemu.devices.size).toBe(0);
});

test.each([
  [['attach', 'vm1'], 2, '--claim NAME is needed'],
  [['attach'], 2, 'aquifer guest (attach DOMAIN'],
  [['attach', 'a/b', '--claim', 'trainer', '--qmp', 'x'], 2, 'invalid domain "a/b"'],
  [['attach', 'vm1', '--claim', 'trainer', '--channel', 'pigeon'], 2, 'invalid argument "pigeon" for --channel'],
  [['attach', 'vm1', '--claim', 'trainer', '--qmp', '/nonexistent'], 1, '--qmp: no QEMU listens at /nonexistent'],
  [['attach', 'vm1', '--claim', 'trainer', '--offer'], 1, 'libvirt gives the context id'],
  [['attach', 'vm1', '--claim', 'trainer', '--offer', '--for', 'KEY'], 2, '--offer and --for exclude each other'],
  [['attach', 'vm1', '--claim', 'trainer', '--expires', '5m'], 2, '--expires says how long --offer holds'],
  [['attach', 'vm1', '--claim', 'trainer', '--offer', '--expires', '2d'], 2, 'invalid argument "2d" for --expires'],
  [['prepare-migration', 'vm1'], 1, 'domain vm1 has no claim'],
  [['destroy', 'vm1'], 2, 'aquifer guest (attach DOMAIN'],
])('guest %j is refused', async (words, code, message) => {
  const refused = await guest(...words);
  expect(refused.code).toBe(code);
  expect(refused.stderr).toContain(message);
});

test('a claim that is not there leaves nothing behind, and a guest has one claim', async () => {
  expect((await attach('vm1', 'nobody')).stderr).toContain('"nobody" not found');
  expect(await guest('list')).toMatchObject({ stdout: '' });
  await attach('vm1', 'trainer');
  expect((await attach('vm1', 'other')).stderr).toContain('has claim default/trainer: detach it first');
});

test('what answers but is no QEMU is named', async () => {
  const path = join(fixture.directory, 'http');
  const server = createServer((client) => client.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
  await new Promise<void>((resolve) => void server.listen(path, resolve));
  expect((await attach('vm1', 'trainer', path)).stderr).toContain('not the monitor of a QEMU');
  server.close();
});
