import { kinds } from '../api/kinds.ts';
import { isNotFound } from './api-client.ts';
import { filenameFlag, namespaceFlag, selectorFlag, timeoutFlag } from './flag.ts';
import { listObjects } from './listing.ts';
import { parseManifests, readSources } from './manifest.ts';
import { problemText } from './problem-text.ts';
import { objectPath, qualifiedKind, wantedOf, type AnyObject } from './resource.ts';
import { UsageError } from './failure.ts';
import type { Console, Input, Verb } from './verb.ts';
import { timeoutOf, waitFor, type Target } from './wait.ts';

export const deleteVerb: Verb = {
  name: 'delete',
  usage: '(TYPE NAME… | TYPE --all | TYPE -l KEY=VALUE | -f FILE) [flags]',
  summary: 'Delete objects; a claim gives its vGPUs back',
  details: 'Programs that run on a claim lose it: their next CUDA call fails.',
  examples: ['aquifer delete vgpu trainer', 'aquifer delete -f claim.yaml', 'aquifer delete vgpu --all --wait=false'],
  flags: [
    filenameFlag,
    namespaceFlag,
    selectorFlag,
    { name: 'all', help: 'All objects of the type in the namespace' },
    { name: 'ignore-not-found', help: 'An object that does not exist is no error' },
    { name: 'wait', help: 'Wait until the objects are gone', default: 'true' },
    timeoutFlag('How long to wait until an object is gone'),
  ],
  run: runDelete,
};

async function runDelete(input: Input, console: Console): Promise<number> {
  const timeoutMs = timeoutOf(input);
  const targets = await targetsOf(input, console);
  if (targets.length === 0) console.out('No resources found\n');
  let exitCode = 0;
  const going: Target[] = [];
  for (const target of targets) {
    try {
      const { body } = await console.api.call({ method: 'DELETE', path: pathOf(target) });
      console.out(`${qualifiedKind(target.kind)} "${target.name}" deleted\n`);
      if ((body as { readonly kind?: unknown }).kind === target.kind) going.push(target);
    } catch (error) {
      if (isNotFound(error) && input.isSet('ignore-not-found')) continue;
      console.err(problemText(error));
      exitCode = 1;
    }
  }
  if (input.isSet('wait')) for (const target of going) await waitUntilGone(console, target, timeoutMs);
  return exitCode;
}

const pathOf = ({ kind, name, namespace }: Target): string => objectPath(kind, name, namespace);

async function waitUntilGone(console: Console, target: Target, timeoutMs: number): Promise<void> {
  const what = `${qualifiedKind(target.kind)}/${target.name}`;
  const first: { uid?: string | undefined } = {};
  await waitFor(console, target, {
    timeoutMs,
    // Gone, or gone and made anew by somebody else.
    isOver(object) {
      first.uid ??= object?.metadata.uid;
      return object === undefined || object.metadata.uid !== first.uid;
    },
    progress: () => `waiting for ${what}: its sessions are being ended`,
    timedOut: () => `timed out waiting for the condition on ${what}: it is marked for deletion but not gone`,
  });
}

async function targetsOf(input: Input, console: Console): Promise<readonly Target[]> {
  const namespace = input.text('namespace') ?? 'default';
  const filenames = input.texts('filename');
  if (filenames.length > 0) {
    if (input.args.length > 0) throw new UsageError('when manifests are given with -f, no type or name may be');
    const rule = { namespace, enforced: input.texts('namespace').length > 0 };
    const sources = await readSources(filenames, console.readStdin);
    return sources
      .flatMap(({ source, text }) => parseManifests(source, text, rule))
      .map((manifest) => ({ kind: manifest.kind, name: manifest.name, namespace: manifest.namespace ?? '' }))
      .toReversed();
  }
  const wanted = wantedOf(input.args, 'delete');
  const named = wanted.flatMap(({ kind, name }) => (name === undefined ? [] : [{ kind, name, namespace }]));
  const selector = input.text('selector') ?? '';
  if (named.length === wanted.length) {
    if (selector !== '' || input.isSet('all')) throw new UsageError('names cannot be used together with --all or -l');
    return named;
  }
  if (selector === '' && !input.isSet('all'))
    throw new UsageError('resource(s) were provided, but no name was specified');
  const lists = await Promise.all(
    wanted.map(async ({ kind }) => {
      const { items } = await listObjects(console, kind, { namespace, selector });
      return items.map((object) => targetOf(kind, object, namespace));
    }),
  );
  return lists.flat();
}

const targetOf = (kind: Target['kind'], { metadata }: AnyObject, namespace: string): Target => ({
  kind,
  name: metadata.name,
  namespace: kinds[kind].namespaced ? (metadata.namespace ?? namespace) : '',
});
