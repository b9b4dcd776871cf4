import { createHash } from 'node:crypto';
import type { Clock } from '../../lib/clock.ts';
import type { TokenOwner, TokenReviews } from './ports.ts';

/** For so long a token is taken to be good after it was: a pod that is deleted loses its node's trust no later. */
const GOOD_MS = 60_000;
/** A token that is refused is not asked about again at once, or whoever has none could keep the API server busy. */
const BAD_MS = 10_000;
const MAX_TOKENS = 4096;
/** Longer texts are no tokens. */
const MAX_TOKEN_LENGTH = 16_384;

interface Known {
  readonly owner: Promise<TokenOwner | undefined>;
  untilMs: number;
}

/** Asks about each token once a minute, however many calls it comes with, and keeps only its hash. */
export function cachedReviews(reviews: TokenReviews, clock: Pick<Clock, 'now'>): TokenReviews {
  const known = new Map<string, Known>();

  const ask = (key: string, token: string): Promise<TokenOwner | undefined> => {
    const entry: Known = { owner: reviews.review(token), untilMs: Infinity };
    known.set(key, entry);
    const [oldest] = known.keys();
    if (known.size > MAX_TOKENS && oldest !== undefined) known.delete(oldest);
    entry.owner.then(
      (owner) => (entry.untilMs = clock.now().getTime() + (owner === undefined ? BAD_MS : GOOD_MS)),
      () => known.get(key) === entry && known.delete(key),
    );
    return entry.owner;
  };

  return {
    review(token) {
      if (token === '' || token.length > MAX_TOKEN_LENGTH) return Promise.resolve(undefined);
      const key = createHash('sha256').update(token).digest('base64');
      const entry = known.get(key);
      if (entry !== undefined && entry.untilMs > clock.now().getTime()) return entry.owner;
      known.delete(key);
      return ask(key, token);
    },
  };
}
