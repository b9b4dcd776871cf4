import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { commandLineFixture, type CommandLineFixture, type Ran } from '../support/command-line-fixture.ts';

const claim = (name: string, more = ''): string => `apiVersion: aquifer.dev/v1alpha1
kind: VGPUClaim
metadata:
  name: ${name}
spec:
  poolName: default
  resources: {memory: 2Gi, compute: 30}
${more}`;

const POOL = `apiVersion: aquifer.dev/v1alpha1
kind: GPUPool
metadata: {name: default}
`;

let fixture: CommandLineFixture;
beforeEach(async () => {
  fixture = await commandLineFixture();
});
afterEach(async () => fixture[Symbol.asyncDispose]());

const printed = (stdout: string): Ran => ({ code: 0, stdout, stderr: '' });
const apply = (...documents: readonly string[]): Promise<Ran> =>
  fixture.run(['apply', '-f', '-'], { stdin: documents.join('---\n') });

describe('apply', () => {
  test('says of each object whether it was created, configured or unchanged', async () => {
    expect(await apply(POOL, claim('trainer'))).toEqual(
      printed('gpupool.aquifer.dev/default created\nvgpuclaim.aquifer.dev/trainer created\n'),
    );
    const changed = claim('trainer').replace('compute: 30', 'compute: 40');
    expect(await apply(POOL, changed)).toEqual(
      printed('gpupool.aquifer.dev/default unchanged\nvgpuclaim.aquifer.dev/trainer configured\n'),
    );
  });

  test('removes a field that the manifest does not have any more, and leaves alone what others set', async () => {
    await apply(claim('trainer', '  gpuSelector: {minMemory: 4Gi}\n'));
    const key = { namespace: 'default', name: 'trainer' };
    await fixture.store.patch('VGPUClaim', key, { metadata: { labels: { team: 'a' } } });
    expect((await apply(claim('trainer'))).stdout).toBe('vgpuclaim.aquifer.dev/trainer configured\n');
    const stored = await fixture.store.get('VGPUClaim', key);
    expect(stored?.spec).not.toHaveProperty('gpuSelector');
    expect(stored?.metadata.labels).toEqual({ team: 'a' });
  });

  test('an unknown field is refused with its path and a guess, and the other objects are applied', async () => {
    const ran = await apply(claim('trainer', '  gpuSelektor: {}\n'), claim('other'));
    expect(ran).toEqual({
      code: 1,
      stdout: 'vgpuclaim.aquifer.dev/other created\n',
      stderr: 'The VGPUClaim "trainer" is invalid: spec.gpuSelektor: unknown field; did you mean "gpuSelector"?\n',
    });
  });

  test('YAML that does not parse is refused with file, line and column', async () => {
    const file = join(fixture.directory, 'claim.yaml');
    writeFileSync(file, 'kind: [VGPUClaim\nmetadata: {}\n');
    const ran = await fixture.run(['apply', '-f', file]);
    expect(ran.code).toBe(1);
    expect(ran.stderr).toMatch(/^error: error parsing .*claim\.yaml: .* at line \d+, column \d+/);
  });

  test.each([
    [
      'a kind that is none of ours',
      'apiVersion: aquifer.dev/v1alpha1\nkind: VGPUClaims\n',
      'kind: must be one of "GPUPool", "GPUNode", "VGPUClaim"; did you mean "VGPUClaim"?',
    ],
    ['another API', 'apiVersion: v1\nkind: Pod\n', 'apiVersion: must be "aquifer.dev/v1alpha1"'],
    ['no name', 'apiVersion: aquifer.dev/v1alpha1\nkind: GPUPool\n', 'metadata.name: is required'],
  ])('%s is refused with the line where the document begins', async (_, stdin, message) => {
    const ran = await fixture.run(['apply', '-f', '-'], { stdin });
    expect(ran).toEqual({ code: 1, stdout: '', stderr: `error: STDIN, line 1: ${message}\n` });
  });

  test('takes every manifest of a directory, and says so if there is none', async () => {
    expect((await fixture.run(['apply', '-f', fixture.directory])).stderr).toMatch(/^error: there is no \.yaml/);
    writeFileSync(join(fixture.directory, 'b.yaml'), claim('trainer'));
    writeFileSync(
      join(fixture.directory, 'a.json'),
      JSON.stringify({ apiVersion: 'aquifer.dev/v1alpha1', kind: 'GPUPool', metadata: { name: 'default' } }),
    );
    expect((await fixture.run(['apply', '-f', fixture.directory])).stdout).toBe(
      'gpupool.aquifer.dev/default created\nvgpuclaim.aquifer.dev/trainer created\n',
    );
  });

  test('a namespace of the manifest that is not the one of -n is refused', async () => {
    const stdin = claim('trainer').replace('name: trainer', 'name: trainer\n  namespace: team-a');
    const ran = await fixture.run(['apply', '-n', 'team-b', '-f', '-'], { stdin });
    expect(ran.stderr).toContain(
      'the namespace from the provided object "team-a" does not match the namespace "team-b"',
    );
    expect(ran.code).toBe(1);
  });

  test('a change of a bound claim is refused in the words of the rule', async () => {
    await apply(claim('trainer'));
    await fixture.bind('default', 'trainer');
    const ran = await apply(claim('trainer').replace('compute: 30', 'compute: 40'));
    expect(ran.code).toBe(1);
    expect(ran.stderr).toBe(
      'The VGPUClaim "trainer" is invalid: spec: cannot be changed while the claim has its vGPUs: delete the claim and create another\n',
    );
  });
});

describe('get', () => {
  beforeEach(async () => {
    await apply(POOL, claim('trainer'), claim('second'));
    await fixture.bind('default', 'trainer');
    fixture.setTime(330);
  });

  test('prints a table with the columns of the kind', async () => {
    expect(await fixture.run(['get', 'vgpuclaims'])).toEqual(
      printed(
        [
          'NAME      PHASE   POOL      VGPUS   MEMORY   COMPUTE   NODE    REASON   AGE',
          'second            default   1       2Gi      30                         5m30s',
          'trainer   Bound   default   1       2Gi      30        gpu-1   Bound    5m30s',
          '',
        ].join('\n'),
      ),
    );
  });

  test('prefixes names where several kinds are asked for', async () => {
    const { stdout } = await fixture.run(['get', 'gpool,vgpu', '-o', 'name']);
    expect(stdout).toBe('gpupool.aquifer.dev/default\nvgpuclaim.aquifer.dev/second\nvgpuclaim.aquifer.dev/trainer\n');
    const table = await fixture.run(['get', 'gpool,vgpu']);
    expect(table.stdout.split('\n').map((line) => line.split(/ {2,}/)[0])).toEqual([
      'NAME',
      'gpupool.aquifer.dev/default',
      '',
      'NAME',
      'vgpuclaim.aquifer.dev/second',
      'vgpuclaim.aquifer.dev/trainer',
      '',
    ]);
  });

  test('shows the namespace with -A', async () => {
    const { stdout } = await fixture.run(['get', 'vgpu', '-A', '--no-headers']);
    expect(stdout.split('\n').map((line) => line.slice(0, 19).trimEnd())).toEqual([
      'default   second',
      'default   trainer',
      '',
    ]);
  });

  test('prints one object as JSON that parses, keys in order', async () => {
    const { stdout } = await fixture.run(['get', 'vgpu/trainer', '-o', 'json']);
    expect(Object.keys(JSON.parse(stdout) as object)).toEqual(['apiVersion', 'kind', 'metadata', 'spec', 'status']);
    expect(stdout.split('\n')[1]).toBe('    "apiVersion": "aquifer.dev/v1alpha1",');
  });

  test('prints several objects as one list, which can be applied again', async () => {
    const { stdout } = await fixture.run(['get', 'gpool,vgpu', '-o', 'yaml']);
    expect(stdout).toMatch(/^apiVersion: v1\nitems:\n {2}- apiVersion: aquifer.dev\/v1alpha1\n/);
    expect((await fixture.run(['apply', '-f', '-'], { stdin: stdout })).code).toBe(0);
    const again = await fixture.run(['apply', '-f', '-'], { stdin: stdout });
    expect(
      again.stdout
        .trim()
        .split('\n')
        .every((line) => line.endsWith(' unchanged')),
    ).toBe(true);
  });

  test('an object that does not exist is an error in the words of kubectl', async () => {
    expect(await fixture.run(['get', 'vgpu', 'nobody', 'trainer', '-o', 'name'])).toEqual({
      code: 1,
      stdout: 'vgpuclaim.aquifer.dev/trainer\n',
      stderr: 'Error from server (NotFound): vgpuclaims.aquifer.dev "nobody" not found\n',
    });
    expect((await fixture.run(['get', 'vgpu', 'nobody', '--ignore-not-found'])).code).toBe(0);
  });

  test('a type that does not exist is an error with a guess', async () => {
    expect(await fixture.run(['get', 'vgpuclaim5'])).toEqual({
      code: 1,
      stdout: '',
      stderr: `error: the server doesn't have a resource type "vgpuclaim5"; did you mean "vgpuclaims"?\n`,
    });
  });

  test('nothing found is said on standard error, and is no failure', async () => {
    expect(await fixture.run(['get', 'vgpu', '-n', 'empty'])).toEqual({
      code: 0,
      stdout: '',
      stderr: 'No resources found in empty namespace.\n',
    });
  });

  test('-l selects by label', async () => {
    await fixture.store.patch(
      'VGPUClaim',
      { namespace: 'default', name: 'second' },
      { metadata: { labels: { team: 'b' } } },
    );
    expect((await fixture.run(['get', 'vgpu', '-l', 'team=b', '-o', 'name'])).stdout).toBe(
      'vgpuclaim.aquifer.dev/second\n',
    );
    expect((await fixture.run(['get', 'vgpu', '-l', 'team!=b'])).stderr).toBe(
      'Error from server (BadRequest): labelSelector: "team!=b" is not of the form key=value,key=value\n',
    );
  });

  test('-w prints each change after the list', async () => {
    const watching = fixture.run(['get', 'vgpu', 'second', '-w'], { until: 'Bound' });
    setTimeout(() => void fixture.bind('default', 'second'), 50);
    const { stdout, code } = await watching;
    expect(code).toBe(0);
    expect(
      stdout
        .trimEnd()
        .split('\n')
        .map((line) => line.split(/ {2,}/).slice(0, 2)),
    ).toEqual([
      ['NAME', 'PHASE'],
      ['second', 'default'],
      ['second', 'Bound'],
    ]);
  });
});

describe('describe', () => {
  test('shows fields, conditions and events', async () => {
    await apply(claim('trainer'));
    const bound = await fixture.bind('default', 'trainer');
    const event = { type: 'Normal', reason: 'Bound', message: 'bound to GPU-1 of gpu-1' } as const;
    await fixture.store.recordEvent(
      { kind: 'VGPUClaim', namespace: 'default', name: 'trainer', uid: bound.metadata.uid },
      event,
    );
    fixture.setTime(65);
    const { stdout, code } = await fixture.run(['describe', 'vgpu', 'trainer']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^Name: {9}trainer\nNamespace: {4}default\nLabels: {7}<none>\nAnnotations: {2}<none>\n/);
    expect(stdout).toContain('Spec:\n  Access:  Any\n  Mode:  Reserved\n  Pool Name:  default\n');
    expect(stdout).toContain('  Allocations:\n    - Compute:  30\n      Endpoint:  gpu-1:9960\n      Gpu:  GPU-1\n');
    expect(stdout).toMatch(
      /Events:\n {2}Type +Reason +Age +Message\n.*\n {2}Normal +Bound +65s +bound to GPU-1 of gpu-1\n$/,
    );
  });
});

describe('delete', () => {
  test('says what was deleted, and waits until it is gone', async () => {
    await apply(claim('trainer'));
    await fixture.store.patch(
      'VGPUClaim',
      { namespace: 'default', name: 'trainer' },
      { metadata: { finalizers: ['aquifer.dev/release'] } },
    );
    setTimeout(() => {
      void fixture.store.patch(
        'VGPUClaim',
        { namespace: 'default', name: 'trainer' },
        { metadata: { finalizers: null } },
      );
    }, 60);
    expect(await fixture.run(['delete', 'vgpu', 'trainer'])).toEqual(
      printed('vgpuclaim.aquifer.dev "trainer" deleted\n'),
    );
    expect(await fixture.store.get('VGPUClaim', { namespace: 'default', name: 'trainer' })).toBeUndefined();
  });

  test('--timeout ends the wait with an error', async () => {
    await apply(claim('trainer'));
    await fixture.store.patch(
      'VGPUClaim',
      { namespace: 'default', name: 'trainer' },
      { metadata: { finalizers: ['aquifer.dev/release'] } },
    );
    const ran = await fixture.run(['delete', 'vgpu', 'trainer', '--timeout', '50ms']);
    expect(ran.code).toBe(1);
    expect(ran.stderr).toBe(
      'error: timed out waiting for the condition on vgpuclaim.aquifer.dev/trainer: it is marked for deletion but not gone\n',
    );
  });

  test('by manifest takes the objects in reverse order; what is gone is an error unless ignored', async () => {
    const stdin = `${POOL}---\n${claim('trainer')}`;
    await apply(stdin);
    expect((await fixture.run(['delete', '-f', '-'], { stdin })).stdout).toBe(
      'vgpuclaim.aquifer.dev "trainer" deleted\ngpupool.aquifer.dev "default" deleted\n',
    );
    expect((await fixture.run(['delete', '-f', '-'], { stdin })).code).toBe(1);
    expect((await fixture.run(['delete', '-f', '-', '--ignore-not-found'], { stdin })).code).toBe(0);
  });

  test('a type alone is not enough', async () => {
    expect(await fixture.run(['delete', 'vgpu'])).toEqual({
      code: 2,
      stdout: '',
      stderr: 'error: resource(s) were provided, but no name was specified\n',
    });
    await apply(claim('a'), claim('b'));
    expect((await fixture.run(['delete', 'vgpu', '--all'])).stdout).toBe(
      'vgpuclaim.aquifer.dev "a" deleted\nvgpuclaim.aquifer.dev "b" deleted\n',
    );
  });
});
