import { createLogger, format, transports } from 'winston';
import type { Log, LogFields } from '../lib/log.ts';

export type LogLevel = keyof Log;

export interface LogOptions {
  readonly level: LogLevel;
  /** Where the lines go. @default process.stdout */
  readonly stream?: NodeJS.WritableStream;
  /** On every line: what tells this logger from others. */
  readonly fields?: LogFields;
}

/** A logger that writes one JSON object a line. */
export function createLog({ level, stream = process.stdout, fields: own = {} }: LogOptions): Log {
  const logger = createLogger({
    level,
    format: format.combine(format.timestamp(), spellOutErrors(), format.json()),
    transports: [new transports.Stream({ stream })],
  });
  // One argument: with two, winston appends a field called `message` to the message. Ours goes last, so it stands.
  const write =
    (lineLevel: LogLevel) =>
    (message: string, fields: LogFields = {}): void => {
      logger.log({ ...own, ...fields, level: lineLevel, message });
    };
  return { error: write('error'), warn: write('warn'), info: write('info'), debug: write('debug') };
}

/** winston prints an Error in a field as `{}`: spell it out, causes included. */
const spellOutErrors = format((info) => {
  for (const [key, value] of Object.entries(info)) {
    if (value instanceof Error) info[key] = describe(value);
  }
  return info;
});

const MAX_CAUSES = 5; // A cause may lead back to where it came from.

function describe(error: Error, depth = 0): object {
  const { name, message, stack, cause } = error;
  return {
    ...Object.fromEntries(Object.entries(error)), // What its class added: `code`, `details`.
    name,
    message,
    ...(depth === 0 ? { stack } : {}),
    ...(cause === undefined ? {} : { cause: describeCause(cause, depth + 1) }),
  };
}

const describeCause = (cause: unknown, depth: number): unknown =>
  cause instanceof Error && depth <= MAX_CAUSES ? describe(cause, depth) : String(cause);
