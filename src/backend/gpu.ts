import { z } from 'zod';

/** One GPU as `worker --inventory` prints it. */
export const gpuSchema = z.object({
  uuid: z.string().min(1).max(64),
  index: z.int().min(0).max(1023),
  model: z.string().min(1).max(128),
  memoryBytes: z.int().min(0),
  computeCapability: z.string().regex(/^[0-9]{1,3}[.][0-9]{1,3}$/),
  driverVersion: z.string().max(64).optional(),
  healthy: z.boolean(),
  reason: z.string().max(256).optional(),
});

export type Gpu = Readonly<z.infer<typeof gpuSchema>>;

/** What the printout of `worker --inventory` says, or why it says nothing. */
export function parseInventory(text: string): readonly Gpu[] | undefined {
  try {
    const parsed = z.array(gpuSchema).max(64).safeParse(JSON.parse(text));
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}

/**
 * The GPUs to publish, given those that were seen before. A GPU that is not seen any more stays, unhealthy: claims may lie
 * on it. `seen` is undefined when nobody could look, which says nothing good of any of them.
 */
export function mergeInventory(before: readonly Gpu[], seen: readonly Gpu[] | undefined): readonly Gpu[] {
  const uuids = new Set(seen?.map(({ uuid }) => uuid));
  const reason = seen === undefined ? 'InventoryFailed' : 'NotFound';
  const missing = before.filter(({ uuid }) => !uuids.has(uuid)).map((gpu) => ({ ...gpu, healthy: false, reason }));
  return [...(seen ?? []), ...missing].toSorted((a, b) => a.index - b.index || a.uuid.localeCompare(b.uuid));
}
