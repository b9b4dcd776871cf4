import { expect, test } from '@jest/globals';
import { Writable } from 'node:stream';
import type { LogFields } from '../lib/log.ts';
import { createLog, type LogLevel } from './log.ts';

function recorder(level: LogLevel = 'info', fields: LogFields = {}) {
  const lines: string[] = [];
  const stream = new Writable({
    decodeStrings: false,
    write(chunk: string, _encoding, done) {
      lines.push(chunk);
      done();
    },
  });
  const read = (): Record<string, unknown>[] => lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  return { log: createLog({ level, stream, fields }), read, lines };
}

test('writes one JSON object a line: time, level, message and fields', () => {
  const { log, read, lines } = recorder('info', { controller: 'vgpuclaim' });
  log.info('claim bound', { object: 'team-a/trainer', durationMs: 3 });
  expect(lines).toHaveLength(1);
  expect(lines[0]?.endsWith('\n')).toBe(true);
  expect(read()).toEqual([
    {
      timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
      level: 'info',
      message: 'claim bound',
      controller: 'vgpuclaim',
      object: 'team-a/trainer',
      durationMs: 3,
    },
  ]);
});

test('leaves out what is below its level', () => {
  const { log, read } = recorder('warn');
  log.debug('a');
  log.info('b');
  log.warn('c');
  log.error('d');
  expect(read().map(({ level, message }) => `${String(level)} ${String(message)}`)).toEqual(['warn c', 'error d']);
});

test('spells out errors with their causes and what their class added', () => {
  const { log, read } = recorder();
  const cause = Object.assign(new Error('connect ENOENT'), { code: 'ENOENT' });
  log.error('reconcile failed', { err: new TypeError('no gateway', { cause }), object: 'a' });
  expect(read()).toEqual([
    expect.objectContaining({
      err: {
        name: 'TypeError',
        message: 'no gateway',
        stack: expect.stringContaining('log.test.ts'),
        cause: { name: 'Error', message: 'connect ENOENT', code: 'ENOENT' },
      },
    }),
  ]);
});

test('survives an error that is its own cause', () => {
  const { log, lines } = recorder();
  const error = new Error('loop');
  error.cause = error;
  log.error('failed', { err: error });
  expect(lines).toHaveLength(1);
});

test('keeps its message constant whatever the fields are called', () => {
  const { log, read } = recorder();
  const fields = { message: 'from a field', level: 'error' } as unknown as LogFields;
  log.info('constant', fields);
  expect(read()).toEqual([expect.objectContaining({ level: 'info', message: 'constant' })]);
});
