import { ServerError } from './api-client.ts';
import { UsageError } from './failure.ts';

/** What went wrong, in the words of kubectl. */
export function problemText(error: unknown): string {
  if (error instanceof ServerError) {
    const { reason, message } = error.status;
    return reason === 'Invalid' ? message : `Error from server (${reason ?? 'Unknown'}): ${message}`;
  }
  return `error: ${error instanceof Error ? error.message : String(error)}`;
}

export const exitCodeOf = (error: unknown): number => (error instanceof UsageError ? 2 : 1);
