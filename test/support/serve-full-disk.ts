import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from './eventually.ts';
import { claim, claimsOf, POOL, programsAtWork, sessionsOf } from './objects.ts';
import { startServe, type Ran } from './serve.ts';

/**
 * Serves from a disk that it then fills, and makes room again. Its one line of output says what serve, its user and a program
 * that computed all the time saw. Arguments: the disk, and the program.
 */
const [disk = '', program = ''] = process.argv.slice(2);
const dataDir = join(disk, 'data');
const ballast = join(disk, 'ballast');

// A disk that is full for longer than this must not make its node count as lost.
const GRACE_MS = 2000;
const args = ['--heartbeat-interval', '1s', '--agent-grace-period', `${GRACE_MS}ms`];
let serve = await startServe({ dataDir, args });
await serve.cli(['apply', '-f', '-'], {
  stdin: [POOL, claim('steady', '1Gi', 50), claim('other', '1Gi', 50)].join('---\n'),
});
const steady = serve.start(['run', '--claim', 'steady', '--', program]);
await programsAtWork(serve);

fill();
const refused = await applyUntilRefused();
const listedWhileFull = (await claimsOf(serve)).length > 0;
const computesWhileFull = await computes();
const runWhileFull = await serve.cli(['run', '--claim', 'other', '--timeout', '20s', '--', program, '3']);
await sleep(2 * GRACE_MS);
const said = serve.output();
await serve.crash();
const startedWhileFull = await startServe({ dataDir, args }).then(
  (started) => {
    serve = started;
    return 'started';
  },
  (error: unknown) => String(error),
);

rmSync(ballast);
if (startedWhileFull !== 'started') serve = await startServe({ dataDir, args });
const computesAgain = await computes();
const applied = await serve.cli(['apply', '-f', '-'], { stdin: claim('later', '1Gi', 10) });
const ran = await serve.cli(['run', '--claim', 'other', '--', program, '3']);
const deleted = await serve.cli(['delete', 'vgpu', 'later']);
steady.child.kill('SIGTERM');
const steadyRan = await steady.ended;
const phases = (await claimsOf(serve)).map(({ metadata, status }) => `${metadata.name} ${status?.phase}`);
await serve.stop();
process.stdout.write(
  JSON.stringify({
    refused,
    listedWhileFull,
    computesWhileFull,
    runWhileFull,
    said,
    startedWhileFull,
    computesAgain,
    applied,
    ran,
    deleted,
    phases,
    steadyRan,
  }),
);

function fill(): void {
  const file = openSync(ballast, 'w');
  for (let bytes = 1 << 20; bytes >= 512;) {
    try {
      if (writeSync(file, Buffer.alloc(bytes)) === 0) bytes /= 2;
    } catch {
      bytes /= 2;
    }
  }
  closeSync(file);
}

/** What is left of a page that is already there may still be written to. */
async function applyUntilRefused(): Promise<Ran | undefined> {
  for (let i = 0; i < 50; i++) {
    const ran = await serve.cli(['apply', '-f', '-'], { stdin: claim(`full-${i}`, '1Gi', 1) });
    if (ran.code !== 0) return ran;
  }
  return undefined;
}

/** Whether the GPU time of the session that was there first grows. */
async function computes(): Promise<boolean> {
  const busy = async () => Number((await sessionsOf(serve)).find((it) => it.claim === 'steady')?.vgpus[0]?.busyNs ?? 0);
  const before = await busy();
  return (await eventually(busy, (now) => now > before, 30_000)) > before;
}
