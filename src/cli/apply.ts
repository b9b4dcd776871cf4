import { APPLY_OUTCOME, APPLY_TYPE } from '../api/apply.ts';
import { filenameFlag, namespaceFlag, outputFlag } from './flag.ts';
import { parseManifests, readSources, type Manifest } from './manifest.ts';
import { documentText, objectName, outputForm, type OutputForm } from './output.ts';
import { objectPath, type AnyObject } from './resource.ts';
import { problemText } from './problem-text.ts';
import { UsageError } from './failure.ts';
import type { Console, Input, Verb } from './verb.ts';

const FORMS: readonly OutputForm[] = ['name', 'json', 'yaml'];

export const applyVerb: Verb = {
  name: 'apply',
  usage: '-f FILE [flags]',
  summary: 'Create objects, or change them to what their manifest says',
  details: 'Fields that the manifest does not mention, and did not mention when it was applied before, are left alone.',
  examples: [
    'aquifer apply -f claim.yaml',
    'aquifer apply -f manifests/ -n team-a',
    'cat claim.yaml | aquifer apply -f -',
  ],
  flags: [filenameFlag, namespaceFlag, outputFlag(FORMS)],
  run: runApply,
};

async function runApply(input: Input, console: Console): Promise<number> {
  const filenames = input.texts('filename');
  if (filenames.length === 0) throw new UsageError('must specify a manifest with -f FILE');
  if (input.args.length > 0)
    throw new UsageError(`unexpected argument ${JSON.stringify(input.args[0])}: manifests are named with -f`);
  const form = outputForm(input, FORMS);
  const rule = { namespace: input.text('namespace') ?? 'default', enforced: input.texts('namespace').length > 0 };

  let exitCode = 0;
  const sources = await readSources(filenames, console.readStdin);
  const manifests = sources.flatMap(({ source, text }) => parseManifests(source, text, rule));
  if (manifests.length === 0) throw new UsageError('no objects passed to apply');
  for (const manifest of manifests) {
    try {
      await applyOne(manifest, form, console);
    } catch (error) {
      // One object that is refused does not keep the others from being applied.
      console.err(problemText(error));
      exitCode = 1;
    }
  }
  return exitCode;
}

async function applyOne(manifest: Manifest, form: OutputForm, console: Console): Promise<void> {
  const { kind, name, namespace = '' } = manifest;
  const { body, headers } = await console.api.call({
    method: 'PATCH',
    path: objectPath(kind, name, namespace),
    contentType: APPLY_TYPE,
    body: manifest.object,
  });
  const object = body as AnyObject;
  if (form === 'json' || form === 'yaml') return console.out(documentText(form, object));
  const outcome = form === 'name' ? '' : ` ${String(headers[APPLY_OUTCOME])}`;
  return console.out(`${objectName(kind, object)}${outcome}\n`);
}
