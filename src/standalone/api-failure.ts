import { kinds, type Kind } from '../api/kinds.ts';
import { API_GROUP } from '../api/meta.ts';
import { failure, type Status } from '../api/status.ts';
import { StoreError, type StoreErrorCode } from '../runtime/store.ts';

/** An answer to a request that could not be served. */
export class ApiFailure extends Error {
  override readonly name = 'ApiFailure';
  readonly status: Status;

  constructor(status: Status) {
    super(status.message);
    this.status = status;
  }
}

export const badRequest = (message: string): ApiFailure => new ApiFailure(failure(400, 'BadRequest', message));

/** The object that a request was about. */
export interface Subject {
  readonly kind: Kind;
  readonly name: string;
}

type Say = (error: StoreError, resource: string, details?: Status['details']) => Status;

const SAY: Readonly<Record<StoreErrorCode, Say>> = {
  NotFound: (_, resource, details) => failure(404, 'NotFound', `${resource} not found`, details),
  AlreadyExists: (_, resource, details) => failure(409, 'AlreadyExists', `${resource} already exists`, details),
  Conflict: (_, resource, details) =>
    failure(409, 'Conflict', `${resource} was changed meanwhile: get it again and repeat`, details),
  Invalid: (error, resource, details) =>
    failure(422, 'Invalid', `${resource} is invalid: ${problemsOf(error)}`, { ...details, causes: error.details }),
  Expired: (error) => failure(410, 'Expired', error.message),
  Unavailable: (error) => failure(503, 'ServiceUnavailable', error.message),
  Unknown: (error) =>
    failure(500, 'InternalError', `${error.message}: look whether it was written before you repeat it`),
};

/** A failure of the store in the words of Kubernetes; undefined if `error` is none. */
export function statusOf(error: unknown, subject?: Subject): Status | undefined {
  if (error instanceof ApiFailure) return error.status;
  if (!(error instanceof StoreError)) return undefined;
  const resource = subject === undefined ? 'the object' : resourceOf(subject, error.code);
  const details = subject === undefined ? undefined : { name: subject.name, kind: kinds[subject.kind].plural };
  return SAY[error.code](error, resource, details);
}

/** As Kubernetes has it: an invalid object is called by its kind, any other by its plural. */
const resourceOf = ({ kind, name }: Subject, code: StoreErrorCode): string =>
  code === 'Invalid' ? `The ${kind} "${name}"` : `${kinds[kind].plural}.${API_GROUP} "${name}"`;

function problemsOf({ details, message }: StoreError): string {
  const problems = details.map((problem) => (problem.field === '' ? '' : `${problem.field}: `) + problem.message);
  if (problems.length === 0) return message;
  return problems.length === 1 ? problems.join() : `[${problems.join(', ')}]`;
}
