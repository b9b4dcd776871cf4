/** What varies in a line of log; the message itself is constant. A field may not be called `message`. */
export interface LogFields {
  readonly controller?: string;
  /** `namespace/name` or `name`. */
  readonly object?: string;
  readonly node?: string;
  readonly device?: string;
  readonly session?: string;
  readonly reason?: string;
  readonly err?: unknown;
  readonly durationMs?: number;
  readonly message?: never;
  readonly [field: string]: unknown;
}

/** A logger as it is handed to whoever logs: error = someone must act, warn = degraded, info = a state has changed. */
export interface Log {
  error(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  debug(message: string, fields?: LogFields): void;
}
