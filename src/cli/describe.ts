import { formatAge } from '../lib/duration.ts';
import { allNamespacesFlag, namespaceFlag, selectorFlag } from './flag.ts';
import { find, scopeOf } from './listing.ts';
import { problemText } from './problem-text.ts';
import { wantedOf, type AnyObject } from './resource.ts';
import { aligned } from './table.ts';
import { CommandError } from './failure.ts';
import type { Console, Input, Verb } from './verb.ts';

export const describeVerb: Verb = {
  name: 'describe',
  usage: 'TYPE [NAME…] [flags]',
  summary: 'Show objects in detail, with what happened to them',
  examples: ['aquifer describe vgpu trainer', 'aquifer describe gpunode'],
  flags: [namespaceFlag, allNamespacesFlag, selectorFlag],
  run: runDescribe,
};

interface EventRecord {
  readonly type: string;
  readonly reason: string;
  readonly message: string;
  readonly count: number;
  readonly lastTimestamp: string;
}

async function runDescribe(input: Input, console: Console): Promise<number> {
  let exitCode = 0;
  const texts: string[] = [];
  for (const { kind, name } of wantedOf(input.args, 'describe')) {
    const { objects, problems } = await find(console, kind, name === undefined ? [] : [name], scopeOf(input));
    for (const problem of problems) console.err(problemText(problem));
    if (problems.length > 0) exitCode = 1;
    for (const object of objects) texts.push(describe(object, await eventsOf(console, object), console.now()));
  }
  if (texts.length === 0 && exitCode === 0) throw new CommandError('No resources found');
  console.out(texts.join('\n\n'));
  return exitCode;
}

async function eventsOf(console: Console, { kind, metadata }: AnyObject): Promise<readonly EventRecord[]> {
  const { name, namespace, uid } = metadata;
  const query = new URLSearchParams({
    kind,
    name,
    ...(namespace === undefined ? {} : { namespace }),
    ...(uid === undefined ? {} : { uid }),
  });
  const { body } = await console.api.call({ method: 'GET', path: `/events?${query.toString()}` });
  return (body as { readonly items: readonly EventRecord[] }).items;
}

const HIDDEN_ANNOTATION = 'kubectl.kubernetes.io/last-applied-configuration'; // As kubectl hides it: it repeats the spec.

function describe(object: AnyObject, events: readonly EventRecord[], now: Date): string {
  const { name, namespace, labels = {}, annotations = {}, ...metadata } = object.metadata;
  const shown = Object.entries(annotations).filter(([key]) => key !== HIDDEN_ANNOTATION);
  const head = [
    ['Name:', name],
    ['Namespace:', namespace ?? ''],
    ['Labels:', pairs(Object.entries(labels))],
    ['Annotations:', pairs(shown)],
    ['API Version:', object.apiVersion],
    ['Kind:', object.kind],
  ];
  const body = { metadata, spec: object.spec ?? {}, ...(object.status === undefined ? {} : { status: object.status }) };
  return aligned(head).replace(/^(\S.*?:) {3}/gm, '$1  ') + fieldLines(body, 0).join('') + eventLines(events, now);
}

const pairs = (entries: readonly (readonly [string, string])[]): string =>
  entries.length === 0 ? '<none>' : entries.map(([key, value]) => `${key}=${value}`).join('\n              ');

/** Fields in order, their names as words: `poolName` → `Pool Name:`, lists item by item, as kubectl describes what it does not know. */
function fieldLines(fields: object, depth: number): string[] {
  const indent = '  '.repeat(depth);
  return Object.entries(fields)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([name, value]) => {
      const title = `${indent}${words(name)}:`;
      if (typeof value !== 'object' || value === null) return [`${title}  ${String(value)}\n`];
      if (!Array.isArray(value)) return [`${title}\n`, ...fieldLines(value as object, depth + 1)];
      return [`${title}\n`, ...(value as unknown[]).flatMap((item) => itemLines(item, depth + 1))];
    });
}

function itemLines(item: unknown, depth: number): string[] {
  const indent = '  '.repeat(depth);
  if (typeof item !== 'object' || item === null) return [`${indent}${String(item)}\n`];
  const [first = '', ...rest] = fieldLines(item, depth + 1);
  return [`${indent}- ${first.trimStart()}`, ...rest];
}

const words = (name: string): string => {
  const spaced = name.replace(/([a-z0-9])([A-Z])/g, '$1 $2').replace(/([A-Z]+)([A-Z][a-z])/g, '$1 $2');
  return spaced.charAt(0).toUpperCase() + spaced.slice(1);
};

function eventLines(events: readonly EventRecord[], now: Date): string {
  if (events.length === 0) return 'Events:  <none>\n';
  const age = ({ lastTimestamp, count }: EventRecord): string =>
    formatAge(now.getTime() - Date.parse(lastTimestamp)) + (count > 1 ? ` (x${count})` : '');
  const rows = events.map((event) => ['', event.type, event.reason, age(event), event.message]);
  const header = ['', 'Type', 'Reason', 'Age', 'Message'];
  const rule = ['', '----', '------', '----', '-------'];
  return `Events:\n${aligned([header, rule, ...rows]).replace(/^ {3}/gm, '  ')}`;
}
