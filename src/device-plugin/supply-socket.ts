import { z } from 'zod';
import { MAX_DEVICE_IDS } from '../api/extended-resource.ts';
import { Refused } from '../ipc/json-lines.ts';
import { serveLines } from '../ipc/line-server.ts';
import type { Log } from '../lib/log.ts';
import { shortfall, type SliceList, type SliceSupply } from './slice-list.ts';

const supplySchema = z.object({
  capacity: z.int().min(0).max(MAX_DEVICE_IDS),
  withdrawn: z.int().min(0).max(Number.MAX_SAFE_INTEGER),
});

export interface SupplySocketOptions {
  readonly socket: string;
  readonly log: Log;
  readonly publish: (supply: SliceSupply) => Promise<SliceList>;
}

/**
 * Where the backend of this node says how many slices there are: `publishSlices {capacity, withdrawn}`. The answer
 * `{withheld, short}` comes once kubelet is being told, and says how many slices pods have that should be withheld.
 */
export function serveSupply({ socket, log, publish }: SupplySocketOptions): Promise<AsyncDisposable> {
  return serveLines(socket, 'device-plugin', {
    async request(_, op, fields) {
      if (op !== 'publishSlices') throw new Refused('UnknownOperation', `there is no ${JSON.stringify(op)}`);
      const supply = supplySchema.safeParse(fields);
      if (!supply.success) throw new Refused('BadRequest', z.prettifyError(supply.error));
      const list = await publish(supply.data);
      return { withheld: list.withheld.length, short: shortfall(list) };
    },
    failed: (err) => log.error('request of the backend failed', { err }),
  });
}
