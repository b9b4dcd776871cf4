import { kinds, type Kind } from '../api/kinds.ts';
import { API_GROUP } from '../api/meta.ts';
import { failure, type Status } from '../api/status.ts';
import { StoreError } from '../runtime/store.ts';

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

/** A failure of the store in the words of Kubernetes. */
export function statusOf(error: unknown, subject?: Subject): Status | undefined {
  if (error instanceof ApiFailure) return error.status;
  if (!(error instanceof StoreError)) return undefined;
  const details = subject === undefined ? undefined : { name: subject.name, kind: kinds[subject.kind].plural };
  const resource = subject === undefined ? 'the object' : resourceOf(subject);
  switch (error.code) {
    case 'NotFound':
      return failure(404, 'NotFound', `${resource} not found`, details);
    case 'AlreadyExists':
      return failure(409, 'AlreadyExists', `${resource} already exists`, details);
    case 'Conflict':
      return failure(409, 'Conflict', `${resource} was changed meanwhile: get it again and repeat`, details);
    case 'Invalid':
      return failure(422, 'Invalid', invalidMessage(error, subject), { ...details, causes: error.details });
    case 'Expired':
      return failure(410, 'Expired', error.message);
    case 'Unavailable':
      return failure(503, 'ServiceUnavailable', error.message);
    case 'Unknown':
      return failure(500, 'InternalError', `${error.message}: look whether it was written before you repeat it`);
  }
}

const resourceOf = ({ kind, name }: Subject): string => `${kinds[kind].plural}.${API_GROUP} "${name}"`;

function invalidMessage({ details, message }: StoreError, subject: Subject | undefined): string {
  const problems = details.map((problem) => (problem.field === '' ? '' : `${problem.field}: `) + problem.message);
  const [only, ...more] = problems.length === 0 ? [message] : problems;
  const list = more.length === 0 ? (only ?? '') : `[${[only, ...more].join(', ')}]`;
  return subject === undefined ? list : `${subject.kind}.${API_GROUP} "${subject.name}" is invalid: ${list}`;
}
