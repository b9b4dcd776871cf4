import { expect, test } from '@jest/globals';
import { ManualClock } from '../../../test/support/manual-clock.ts';
import { runKubectlCommand } from './command.ts';

const KEY = 'A'.repeat(43);

async function ran(...words: readonly string[]) {
  const [out, err]: [string[], string[]] = [[], []];
  const { signal } = new AbortController();
  const code = await runKubectlCommand(words, {
    out: (text) => out.push(text),
    err: (line) => err.push(line),
    signal,
    clock: new ManualClock(),
  });
  return { code, out: out.join(''), err: err.join('\n') };
}

test.each([
  [['ticket'], 'exactly one claim is needed'],
  [['ticket', 'trainer'], '--for KEY is needed'],
  [['ticket', 'trainer', '--for', 'short'], '--for KEY is needed'],
  [['ticket', 'trainer', '--for', KEY, '--address', 'nowhere'], 'must be host:port'],
  [['ticket', 'trainer', '--for', KEY, '--expires', 'soon'], 'for --expires'],
  [['ticket', 'trainer', '--for', KEY, '--timeout', 'soon'], 'for --timeout'],
  [['ticket', 'trainer', '--data-dir', 'x'], "unknown flag: --data-dir\nSee 'kubectl aquifer ticket --help'"],
  [['get', 'vgpu'], 'kubectl itself does the rest'],
  [[], 'Usage: kubectl aquifer ticket NAME'],
])('%j is refused with exit code 2', async (words, said) => {
  const { code, out, err } = await ran(...words);
  expect({ code, out }).toEqual({ code: 2, out: '' });
  expect(err).toContain(said);
});

test.each([[['--help']], [['ticket', '-h']]])('%j explains itself', async (words) => {
  const { code, out } = await ran(...words);
  expect(code).toBe(0);
  expect(out).toContain('Usage: kubectl aquifer ticket NAME --for KEY');
  expect(out).not.toContain('--data-dir');
});

test('a context that the kubeconfig has not is no context', async () => {
  const { code, err } = await ran('ticket', 'trainer', '--for', KEY, '--context', 'there is none of this name');
  expect(code).toBe(1);
  expect(err).toBe('error: context "there is none of this name" does not exist');
});
