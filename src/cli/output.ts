import { stringify } from 'yaml';
import type { Kind } from '../api/kinds.ts';
import { nearest } from '../lib/edit-distance.ts';
import { qualifiedKind, type AnyObject } from './resource.ts';
import { UsageError } from './failure.ts';
import type { Input } from './verb.ts';

export type OutputForm = 'table' | 'wide' | 'json' | 'yaml' | 'name';

/** What `-o` says. @throws UsageError that lists the forms. */
export function outputForm(input: Input, allowed: readonly OutputForm[]): OutputForm {
  const said = input.text('output');
  if (said === undefined || said === '') return 'table';
  const form = allowed.find((candidate) => candidate === said);
  if (form !== undefined) return form;
  const guess = nearest(said, allowed);
  const hint = guess === undefined ? '' : `; did you mean ${guess}?`;
  throw new UsageError(
    `unable to match a printer for output form ${JSON.stringify(said)}: allowed are ${allowed.join(', ')}${hint}`,
  );
}

/** A document the way kubectl prints it: keys in order, JSON indented by four. */
export function documentText(form: 'json' | 'yaml', value: unknown): string {
  const sorted = sortedKeys(value);
  if (form === 'json') return `${JSON.stringify(sorted, undefined, 4)}\n`;
  return stringify(sorted, { lineWidth: 0, aliasDuplicateObjects: false });
}

/** `vgpuclaim.aquifer.dev/trainer`. */
export const objectName = (kind: Kind, object: Pick<AnyObject, 'metadata'>): string =>
  `${qualifiedKind(kind)}/${object.metadata.name}`;

function sortedKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortedKeys);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, member]) => [key, sortedKeys(member)]));
}
