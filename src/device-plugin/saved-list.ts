import { readFileSync } from 'node:fs';
import { rename, writeFile } from 'node:fs/promises';
import { z } from 'zod';
import { MAX_DEVICE_IDS } from '../api/extended-resource.ts';
import type { SliceList } from './slice-list.ts';

const FORM = 1;

const numbers = z
  .array(
    z
      .int()
      .min(0)
      .max(MAX_DEVICE_IDS - 1),
  )
  .max(MAX_DEVICE_IDS);

const savedSchema = z.strictObject({
  form: z.literal(FORM),
  capacity: z.int().min(0).max(MAX_DEVICE_IDS),
  withdrawn: z.int().min(0),
  listed: numbers,
  withheld: numbers,
});

/** The list that an earlier process has saved; undefined where there is none. @throws Error for a file that is none. */
export function readSavedList(path: string): SliceList | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  const { form: _, ...list } = savedSchema.parse(JSON.parse(text));
  return list;
}

/** Replaces the file as a whole. It is not synced: after a crash of the machine no pod has a slice that could be lost. */
export async function saveList(path: string, list: SliceList): Promise<void> {
  const temporary = `${path}.new`;
  await writeFile(temporary, JSON.stringify({ form: FORM, ...list }), { mode: 0o600 });
  await rename(temporary, path);
}
