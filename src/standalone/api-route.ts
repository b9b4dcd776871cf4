import { kindNames, kinds, type Kind } from '../api/kinds.ts';
import { API_VERSION } from '../api/meta.ts';

/** What a request asks for, by its path: the paths of Kubernetes for our kinds, and a few of our own. */
export type ApiRoute =
  | { readonly at: 'collection'; readonly kind: Kind; readonly namespace?: string }
  | { readonly at: 'object'; readonly kind: Kind; readonly namespace?: string; readonly name: string }
  | { readonly at: 'events' | 'sessions' | 'tickets' | 'attach' | 'version' };

const PREFIX = `/apis/${API_VERSION}/`;
const OWN = ['events', 'sessions', 'tickets', 'attach', 'version'] as const;

/** The route of a path, or undefined where nothing is. */
export function routeOf(path: string): ApiRoute | undefined {
  const own = OWN.find((name) => path === `/${name}`);
  if (own !== undefined) return { at: own };
  if (!path.startsWith(PREFIX)) return undefined;
  const steps = decoded(path.slice(PREFIX.length).split('/'));
  if (steps === undefined || steps.some((step) => step === '')) return undefined;
  const [first, namespace, ...rest] = steps;
  return first === 'namespaces' && namespace !== undefined ? resourceRoute(rest, namespace) : resourceRoute(steps);
}

function resourceRoute([plural, name, ...more]: readonly string[], namespace?: string): ApiRoute | undefined {
  const kind = kindNames.find((candidate) => kinds[candidate].plural === plural);
  if (kind === undefined || more.length > 0) return undefined;
  const { namespaced } = kinds[kind];
  if (namespace !== undefined && !namespaced) return undefined;
  const where = namespace === undefined ? {} : { namespace };
  if (name === undefined) return { at: 'collection', kind, ...where };
  // An object of a namespaced kind has no name without its namespace.
  return namespaced && namespace === undefined ? undefined : { at: 'object', kind, name, ...where };
}

function decoded(steps: readonly string[]): readonly string[] | undefined {
  try {
    return steps.map(decodeURIComponent);
  } catch {
    return undefined;
  }
}

/** `a=b,c=d` as labels; undefined if the text says something else, such as `a!=b`. */
export function labelsOf(selector: string): Readonly<Record<string, string>> | undefined {
  const pairs = selector.split(',').map((part) => /^([^=!\s]+)={1,2}([^=!\s]*)$/.exec(part.trim()));
  if (pairs.some((pair) => pair === null)) return undefined;
  return Object.fromEntries(pairs.map((pair) => [pair?.[1] ?? '', pair?.[2] ?? '']));
}
