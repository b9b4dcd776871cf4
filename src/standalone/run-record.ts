import { readFileSync } from 'node:fs';
import { z } from 'zod';

const schema = z.looseObject({
  pid: z.int().min(1),
  startTime: z.int().min(0),
  version: z.string(),
  /** Of the gateway: the addresses on which it listens for other hosts. */
  listen: z.array(z.string()).optional(),
});

/** What a native process wrote about itself to run/NAME.json. */
export type RunRecord = Readonly<z.infer<typeof schema>>;

/** The record, or undefined where there is none that can be read. */
export function readRunRecord(path: string): RunRecord | undefined {
  try {
    const parsed = schema.safeParse(JSON.parse(readFileSync(path, 'utf8')));
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}
