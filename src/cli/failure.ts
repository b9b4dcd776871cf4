/** The command line cannot be understood: exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** Something failed and there is no more to say than this: exit code 1. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
}
