import { describe, expect, test } from '@jest/globals';
import { z } from 'zod';
import { helpText, wantsHelp } from './help.ts';
import { loadConfig } from './load.ts';
import { setting, type Env } from './setting.ts';
import { serveSchema } from './serve.ts';

const schema = z.strictObject({
  dataDir: setting(z.string().min(1), { description: 'Where.', placeholder: 'DIR' }),
  workers: setting(z.int().min(1).max(8).default(2), { description: 'How many.' }),
  follow: setting(z.boolean().default(false), { description: 'Whether to stay.' }),
  logLevel: setting(z.enum(['error', 'info']).default('info'), { description: 'How much.' }),
  nodes: setting(z.array(z.string().min(1)).default([]), { description: 'Which.' }),
  home: setting(z.string(), { description: 'Home.', fallback: { text: '$HOME', from: (env) => env['HOME'] ?? '/' } }),
});

const load = (argv: readonly string[], env: Env = {}, files: Readonly<Record<string, string>> = {}) =>
  loadConfig(schema, {
    argv,
    env,
    readFile: (path) => {
      const text = files[path];
      if (text === undefined) throw new Error('no such file or directory');
      return text;
    },
  });

const problems = (...args: Parameters<typeof load>) => {
  const result = load(...args);
  return result.ok ? [] : result.error.map(({ source, message }) => `${source}: ${message}`);
};

describe('loadConfig', () => {
  test('takes defaults for what nobody says', () => {
    expect(load(['--data-dir', '/d'], { HOME: '/home/u' })).toEqual({
      ok: true,
      value: { dataDir: '/d', workers: 2, follow: false, logLevel: 'info', nodes: [], home: '/home/u' },
    });
  });

  test('a flag goes before a variable, that before the file, that before the default', () => {
    const files = { 'c.yaml': 'dataDir: /file\nworkers: 3\nfollow: true\nnodes: [a]\n' };
    const env = { AQUIFER_DATA_DIR: '/env', AQUIFER_WORKERS: '4', AQUIFER_CONFIG: 'c.yaml', AQUIFER_LOG_LEVEL: '' };
    expect(load(['--data-dir=/flag'], env, files)).toMatchObject({
      ok: true,
      value: { dataDir: '/flag', workers: 4, follow: true, logLevel: 'info', nodes: ['a'] },
    });
    expect(load(['--no-follow', '--nodes', 'b,c', '--nodes', 'd'], env, files)).toMatchObject({
      ok: true,
      value: { dataDir: '/env', follow: false, nodes: ['b', 'c', 'd'] },
    });
    expect(load(['--config', 'other'], env, { ...files, other: 'workers: 8' })).toMatchObject({
      ok: true,
      value: { dataDir: '/env', workers: 4, nodes: [] },
    });
  });

  test('tells all problems at once, each with the source of the value', () => {
    const env = { AQUIFER_WORKERS: 'many', AQUIFER_FOLLOW: 'perhaps' };
    const files = { 'c.yaml': 'logLevel: loud\nwokers: 3\nnodes: [a, 7]\n' };
    expect(problems(['--config', 'c.yaml', '--datadir', '/d', 'extra'], env, files)).toEqual([
      '--datadir: unknown flag; did you mean --data-dir?',
      'extra: unexpected argument; see --help',
      'wokers in c.yaml: unknown setting; did you mean "workers"?',
      '--data-dir, AQUIFER_DATA_DIR or dataDir in a configuration file: is required',
      'AQUIFER_WORKERS: must be a number, not the string "many"',
      'AQUIFER_FOLLOW: must be true or false, not the string "perhaps"',
      'logLevel in c.yaml: must be one of "error", "info"',
      'nodes in c.yaml: must be a string, not 7',
    ]);
  });

  test.each([
    [['--data-dir'], '--data-dir: needs a value: --data-dir DIR'],
    [['--data-dir', '--follow'], '--data-dir: needs a value: --data-dir DIR'],
    [['--data-dir=/d', '--log-level'], '--log-level: needs a value: --log-level error|info'],
    [['--data-dir=/d', '--workers', '9'], '--workers: must be at most 8'],
    [['--data-dir=/d', '--workers='], '--workers: must be a number, not the string ""'],
    [['--data-dir=/d', '-x'], '-x: unknown flag; see --help'],
    [['--data-dir=/d', '--', 'y'], 'y: unexpected argument; see --help'],
    [['--data-dir=/d', '--config', 'none'], 'none: cannot be read: no such file or directory'],
  ])('%j: %s', (argv, problem) => {
    expect(problems(argv)).toContain(problem);
  });

  test.each([
    ['workers: [1', /is not YAML: .*line 1/],
    ['- a', /must be a mapping/],
    ['just text', /must be a mapping/],
  ])('refuses the file %j', (text, expected) => {
    expect(problems(['--data-dir=/d', '--config', 'c'], {}, { c: text })).toEqual([expect.stringMatching(expected)]);
  });

  test('takes an empty file', () => {
    expect(problems(['--data-dir=/d', '--config', 'c'], {}, { c: '# nothing\n' })).toEqual([]);
  });
});

describe('serveSchema', () => {
  const serve = (...argv: string[]) =>
    loadConfig(serveSchema, { argv, env: { XDG_STATE_HOME: '/state' }, readFile: () => '' });

  test('has safe defaults', () => {
    expect(serve()).toEqual({
      ok: true,
      value: {
        dataDir: '/state/aquifer',
        listen: { host: '127.0.0.1', port: 9960 },
        nodeName: expect.stringMatching(/^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/),
        heartbeatInterval: { ms: 5000 },
        agentGracePeriod: { ms: 30_000 },
        releaseTimeout: { ms: 30_000 },
        vsock: false,
        logLevel: 'info',
      },
    });
  });

  test.each([
    ['[fd00::7]:9960', 'fd00::7'],
    ['fd00::7:9960', 'fd00::7'],
    ['::1:9960', '::1'],
    ['10.0.0.7:9960', '10.0.0.7'],
    ['gpu-1:9960', 'gpu-1'],
  ])('listens on %s', (text, host) => {
    expect(serve('--listen', text)).toMatchObject({ ok: true, value: { listen: { host, port: 9960 } } });
  });

  test('reads what people write', () => {
    const result = serve('--software-gpus', '2x8Gi', '--listen', '[::]:0', '--heartbeat-interval', '500ms');
    expect(result).toMatchObject({
      ok: true,
      value: {
        softwareGpus: { count: 2, memoryBytes: 8 * 2 ** 30 },
        listen: { host: '::', port: 0 },
        heartbeatInterval: { ms: 500 },
      },
    });
    expect(serve('--software-gpus', '8Gi')).toMatchObject({ value: { softwareGpus: { count: 1 } } });
  });

  test.each([
    ['--software-gpus', 'two', /must be COUNTxMEMORY such as 2x8Gi/],
    ['--software-gpus', '0x8Gi', /must be COUNTxMEMORY/],
    ['--software-gpus', '2x1Mi', /at least 64Mi/],
    ['--listen', '9960', /must be host:port/],
    ['--listen', 'fd00::7', /must be host:port/],
    ['--listen', '[fd00:]:9960', /must be host:port/],
    ['--listen', 'a:b:9960', /must be host:port/],
    ['--listen', 'host:70000', /must be host:port/],
    ['--node-name', 'Big_Host', /must be lower-case/],
    ['--heartbeat-interval', '5', /must be a time span/],
    ['--heartbeat-interval', '0s', /must be a time span/],
    ['--release-timeout', '25h', /at most 24h/],
    ['--agent-grace-period', '6s', /at least twice the heartbeat interval/],
  ])('refuses %s %s', (flag, value, expected) => {
    const result = serve(flag, value);
    expect(result.ok ? [] : result.error).toEqual([{ source: flag, message: expect.stringMatching(expected) }]);
  });
});

describe('help', () => {
  test('is asked for by --help and -h, but not behind --', () => {
    expect(wantsHelp(['--listen', 'x', '--help'])).toBe(true);
    expect(wantsHelp(['-h'])).toBe(true);
    expect(wantsHelp(['--', '--help'])).toBe(false);
  });

  test('lists every flag with its value, description, default and variable', () => {
    const help = helpText(schema, { usage: 'x [flags]', summary: 'Does x.', examples: ['x --follow'] });
    expect(help).toContain('Usage: x [flags]\n');
    expect(help).toContain('  --data-dir DIR\n      Where. [AQUIFER_DATA_DIR]\n');
    expect(help).toContain('  --workers N\n      How many. Default: 2 [AQUIFER_WORKERS]\n');
    expect(help).toContain('  --follow\n      Whether to stay. Default: false [AQUIFER_FOLLOW]\n');
    expect(help).toContain('  --log-level error|info\n');
    expect(help).toContain('  --home VALUE\n      Home. Default: $HOME [AQUIFER_HOME]\n');
    expect(Math.max(...help.split('\n').map((line) => line.length))).toBeLessThanOrEqual(100);
  });
});
