/** What an API server answers where it does not answer with an object: Kubernetes' own `Status`. */
export interface Status {
  readonly apiVersion: 'v1';
  readonly kind: 'Status';
  readonly status: 'Success' | 'Failure';
  readonly reason?: string;
  readonly message: string;
  /** The HTTP status code. */
  readonly code: number;
  readonly details?: {
    readonly name?: string;
    readonly kind?: string;
    readonly causes?: readonly { readonly field: string; readonly message: string }[];
  };
}

/** A failure with its HTTP status code; `reason` is one word for programs, `message` a sentence for people. */
export function failure(code: number, reason: string, message: string, details?: Status['details']): Status {
  const base = { apiVersion: 'v1', kind: 'Status', status: 'Failure', reason, message, code } as const;
  return details === undefined ? base : { ...base, details };
}

export function success(message: string): Status {
  return { apiVersion: 'v1', kind: 'Status', status: 'Success', message, code: 200 };
}

/** Whether an answer is a Status and no object of a kind of ours. */
export function isStatus(value: unknown): value is Status {
  return typeof value === 'object' && value !== null && Reflect.get(value, 'kind') === 'Status';
}
