import { expect, test } from '@jest/globals';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { isAlive, parseStat, signalProcess } from './process-identity.ts';

const TAIL = `S ${Array.from({ length: 18 }, (_, i) => i).join(' ')} 4711 0 0`;

test('the name of a process may hold anything', () => {
  expect(parseStat(`1 (sleep) ${TAIL}`)).toEqual({ state: 'S', startTime: 4711 });
  expect(parseStat(`1 (a) S 1) (b) ${TAIL}`)).toEqual({ state: 'S', startTime: 4711 });
  expect(parseStat('')).toBeUndefined();
});

test('a process is alive until it ends, and a later one with its number is another', async () => {
  const child = spawn('sleep', ['60']);
  const pid = child.pid ?? 0;
  const startTime = parseStat(readFileSync(`/proc/${pid}/stat`, 'utf8'))?.startTime ?? 0;
  expect(isAlive({ pid, startTime })).toBe(true);
  expect(isAlive({ pid, startTime: startTime + 1 })).toBe(false);
  signalProcess({ pid, startTime: startTime + 1 }, 'SIGKILL');
  expect(isAlive({ pid, startTime })).toBe(true);
  signalProcess({ pid, startTime }, 'SIGKILL');
  await once(child, 'exit');
  expect(isAlive({ pid, startTime })).toBe(false);
});
