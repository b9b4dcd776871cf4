import { nearest } from '../lib/edit-distance.ts';
import { kindFor, kindNames, kinds, type Kind } from '../api/kinds.ts';
import { API_GROUP, API_VERSION } from '../api/meta.ts';
import { CommandError, UsageError } from './failure.ts';

/** An object as it comes from the server, of whichever kind. */
export interface AnyObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid?: string;
    readonly resourceVersion?: string;
    readonly creationTimestamp?: string;
    readonly deletionTimestamp?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly spec?: unknown;
  readonly status?: unknown;
}

/** What a user means by `TYPE NAME…`, `TYPE/NAME…` or `TYPE[,TYPE]`. */
export interface Wanted {
  readonly kind: Kind;
  /** Absent: all of the kind. */
  readonly name?: string;
}

const resourceTypes = (): string => kindNames.map((kind) => kinds[kind].plural).join(', ');

/** The path of the collection of a kind, in one namespace or in all. */
export function collectionPath(kind: Kind, namespace?: string): string {
  const { plural, namespaced } = kinds[kind];
  const within = namespaced && namespace !== undefined ? `namespaces/${encodeURIComponent(namespace)}/` : '';
  return `/apis/${API_VERSION}/${within}${plural}`;
}

export const objectPath = (kind: Kind, name: string, namespace: string): string =>
  `${collectionPath(kind, namespace)}/${encodeURIComponent(name)}`;

/** `vgpuclaim.aquifer.dev`. */
export const qualifiedKind = (kind: Kind): string => `${kinds[kind].singular}.${API_GROUP}`;

/** Reads the arguments of get, describe and delete. @throws UsageError or CommandError that says what is wrong. */
export function wantedOf(args: readonly string[], verb: string): readonly Wanted[] {
  const [first, ...names] = args;
  if (first === undefined) {
    throw new UsageError(`You must specify the type of resource to ${verb}. Types: ${resourceTypes()}.`);
  }
  if (args.some((arg) => arg.includes('/'))) return args.map((arg) => slashed(arg));
  const wantedKinds = first.split(',').map(kindNamed);
  if (names.length === 0) return wantedKinds.map((kind) => ({ kind }));
  return wantedKinds.flatMap((kind) => names.map((name) => ({ kind, name })));
}

function slashed(arg: string): Wanted {
  const [type = '', name = '', ...more] = arg.split('/');
  if (type === '' || name === '' || more.length > 0) {
    throw new UsageError(
      `there is no need to specify a resource type as a separate argument: use TYPE/NAME for each, not ${JSON.stringify(arg)}`,
    );
  }
  return { kind: kindNamed(type), name };
}

function kindNamed(word: string): Kind {
  const kind = kindFor(word);
  if (kind !== undefined) return kind;
  const words = kindNames.flatMap((name) => [kinds[name].plural, kinds[name].singular, ...kinds[name].shortNames]);
  const guess = nearest(word, words);
  const hint = guess === undefined ? `; the types are ${resourceTypes()}` : `; did you mean "${guess}"?`;
  throw new CommandError(`the server doesn't have a resource type ${JSON.stringify(word)}${hint}`);
}
