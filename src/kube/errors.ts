import { isStatus, type Status } from '../api/status.ts';
import { StoreError, type FieldProblem, type StoreErrorCode } from '../runtime/store.ts';

/** What was asked, for messages: `PATCH /apis/…`. */
export interface Asked {
  readonly method: string;
  readonly path: string;
}

/** No answer came. `sent`: the request may have reached the API server, so a write may have landed. */
export function connectionError(asked: Asked, cause: unknown, sent: boolean): StoreError {
  const code = sent && asked.method !== 'GET' ? 'Unknown' : 'Unavailable';
  return new StoreError(code, `${nameOf(asked)}: no answer: ${reasonOf(cause)}`, { cause });
}

/** An answer that says no. */
export function statusError(asked: Asked, httpStatus: number, body: unknown): StoreError {
  const status = isStatus(body) ? body : undefined;
  const code = codeOf(asked, httpStatus, status?.reason);
  const message = status?.message ?? `${nameOf(asked)}: HTTP ${httpStatus} ${shortened(body)}`;
  return new StoreError(code, message, { details: code === 'Invalid' ? problemsOf(status) : [] });
}

/** An error that comes inside a watch. */
export const watchError = (asked: Asked, status: Status): StoreError => statusError(asked, status.code, status);

function codeOf({ method }: Asked, httpStatus: number, reason: string | undefined): StoreErrorCode {
  if (reason === 'AlreadyExists') return 'AlreadyExists';
  const code = CODES[httpStatus];
  if (code !== undefined) return code;
  // A time-out, or a server that stopped in the middle: what it was asked to write may be written.
  return httpStatus >= 500 && method !== 'GET' ? 'Unknown' : 'Unavailable';
}

const CODES: Readonly<Record<number, StoreErrorCode>> = {
  400: 'Invalid',
  404: 'NotFound',
  409: 'Conflict',
  410: 'Expired',
  413: 'Invalid',
  422: 'Invalid',
};

function problemsOf(status: Status | undefined): readonly FieldProblem[] {
  const causes: readonly Partial<FieldProblem>[] = status?.details?.causes ?? [];
  if (causes.length > 0) return causes.filter(isProblem).map(problemOf);
  return [...(status?.message ?? '').matchAll(UNKNOWN_FIELD)].map(([, field = '']) => ({
    field,
    message: 'unknown field',
  }));
}

/** The API server adds that it has not looked at rules because of the other causes. */
const isProblem = ({ message = '' }: Partial<FieldProblem>): boolean =>
  !message.includes('some validation rules were not checked');

/** `Invalid value: "8GB": must be …` → `must be …`: the words of our own rules, as the embedded store says them. */
const problemOf = ({ field = '', message = '' }: Partial<FieldProblem>): FieldProblem => ({
  field: field === WHOLE_OBJECT ? '' : field,
  message: message.replace(VALUE, ''),
});

const WHOLE_OBJECT = '<nil>';

const VALUE = /^Invalid value: (?:(?:"(?:[^"\\]|\\.)*"|-?[0-9.]+|null|true|false): )?/s;

const UNKNOWN_FIELD = /unknown field "([^"]+)"/g;

const nameOf = ({ method, path }: Asked): string => `${method} ${path.replace(/[?].*/, '')}`;

const shortened = (body: unknown): string => (typeof body === 'string' ? body.slice(0, 200) : '').trim();

/** Node tries every address of a name and gives an error without words for all of them together. */
function reasonOf(cause: unknown): string {
  if (cause instanceof AggregateError && cause.message === '') return cause.errors.map(reasonOf).join('; ');
  return cause instanceof Error ? cause.message : String(cause);
}
