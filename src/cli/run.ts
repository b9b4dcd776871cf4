import { accessSync, constants } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { columnValue } from '../api/column-value.ts';
import { clientLibraries, connectorProgram } from './installed.ts';
import { namespaceFlag, timeoutFlag } from './flag.ts';
import type { AnyObject } from './resource.ts';
import { CommandError, UsageError } from './failure.ts';
import type { Console, Input, Verb } from './verb.ts';
import { timeoutOf, waitFor } from './wait.ts';

export const runVerb: Verb = {
  name: 'run',
  usage: '(--claim NAME | --ticket FILE) [flags] -- PROGRAM [ARGUMENT…]',
  summary: "Run a program on a claim's vGPUs",
  details:
    'Waits until the claim has its vGPUs, then becomes the program: signals and the exit code are its own. With --ticket\n' +
    'the vGPUs are those of another host; the ticket comes from `aquifer ticket` there.',
  examples: ['aquifer run --claim trainer -- ./train --epochs 3', 'aquifer run --ticket ticket.json -- ./train'],
  flags: [
    { name: 'claim', value: 'NAME', help: 'The claim to run on' },
    { name: 'ticket', value: 'FILE', help: 'Run on the vGPUs of another host' },
    namespaceFlag,
    timeoutFlag('How long to wait for the claim'),
  ],
  takesProgram: true,
  run: runRun,
};

async function runRun(input: Input, console: Console): Promise<number> {
  const claim = input.text('claim');
  const ticket = input.text('ticket');
  if (input.args.length > 0) {
    throw new UsageError(
      `unexpected argument ${JSON.stringify(input.args[0])}: the program and its arguments stand behind --`,
    );
  }
  if ((claim === undefined) === (ticket === undefined))
    throw new UsageError('one of --claim NAME and --ticket FILE is needed');
  if (input.program.length === 0) throw new UsageError('there is no program to run: it stands behind --');
  return claim === undefined ? runWithTicket(ticket ?? '', input, console) : runOnClaim(claim, input, console);
}

async function runOnClaim(name: string, input: Input, console: Console): Promise<number> {
  const namespace = input.text('namespace') ?? 'default';
  await waitUntilBound(console, { name, namespace, timeoutMs: timeoutOf(input) });
  const { body } = await console.api.call({ method: 'POST', path: '/attach', body: { namespace, name } });
  const { socket, libraries } = body as { readonly socket: string; readonly libraries: string };
  return become(console, input.program, { AQUIFER_SOCKET: socket, ...withLibraries(console, libraries) });
}

/** The connector offers the session socket, runs the program beside itself and ends with it. */
function runWithTicket(file: string, input: Input, console: Console): number {
  const path = resolve(file);
  try {
    accessSync(path, constants.R_OK);
  } catch (cause) {
    throw new CommandError(`the ticket ${JSON.stringify(file)} cannot be read`, { cause });
  }
  const command = [connectorProgram(), '--ticket', path, '--program', '--', ...input.program];
  return become(console, command, withLibraries(console, clientLibraries()));
}

/** Ours stand before whatever libcuda.so.1 the host has. */
function withLibraries({ env }: Console, libraries: string): Readonly<Record<string, string>> {
  const before = env['LD_LIBRARY_PATH'];
  return { LD_LIBRARY_PATH: before === undefined || before === '' ? libraries : `${libraries}:${before}` };
}

/** Gives this process to the program, so that signals, the terminal and the exit code are the program's alone. */
function become(
  console: Console,
  [program = '', ...args]: readonly string[],
  more: Readonly<Record<string, string>>,
): never {
  const env = Object.entries({ ...console.env, ...more }).filter(
    (entry): entry is [string, string] => entry[1] !== undefined,
  );
  const found = located(program, console.env['PATH'] ?? '');
  return console.exec(found, [program, ...args], Object.fromEntries(env));
}

/** The file that a command names, as a shell would find it. @throws CommandError if there is none that may be run. */
function located(program: string, path: string): string {
  const candidates = program.includes('/')
    ? [program]
    : path.split(delimiter).map((directory) => join(directory, program));
  const found = candidates.find(isProgram);
  if (found !== undefined) return found;
  throw new CommandError(`${program}: there is no such program, or it may not be run`);
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

interface BoundWait {
  readonly name: string;
  readonly namespace: string;
  readonly timeoutMs: number;
}

async function waitUntilBound(console: Console, { name, namespace, timeoutMs }: BoundWait): Promise<void> {
  const what = `claim ${namespace}/${name}`;
  const claim = await waitFor(
    console,
    { kind: 'VGPUClaim', name, namespace },
    {
      timeoutMs,
      isOver: (object) =>
        object === undefined || object.metadata.deletionTimestamp !== undefined || phaseOf(object) === 'Bound',
      progress: (object) => `waiting for ${what}: ${reasonOf(object)}`,
      timedOut: (last) => `${what} was not bound in time: ${reasonOf(last)}`,
    },
  );
  if (claim === undefined) throw new CommandError(`${what} does not exist: apply it first`);
  if (claim.metadata.deletionTimestamp !== undefined) throw new CommandError(`${what} is being deleted`);
}

const phaseOf = (object: AnyObject): unknown => columnValue(object, '.status.phase');

function reasonOf(object: AnyObject | undefined): string {
  const message = columnValue(object, '.status.conditions[?(@.type=="Bound")].message');
  return typeof message === 'string' && message !== '' ? message : 'nobody has looked at it yet';
}
