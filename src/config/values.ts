import { isIPv6 } from 'node:net';
import { z } from 'zod';
import { parseQuantity } from '../api/quantity.ts';

/** The values that settings are made of: texts that a person writes, and what they stand for. */

/** A name that Kubernetes lets a node have. */
export const nodeNameSchema = z
  .string()
  .max(253)
  .regex(/^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/, 'must be lower-case letters, digits, "-" and "."');

export interface Duration {
  readonly ms: number;
}

const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** A time span such as `500ms`, `10s`, `5m` or `1h`, not zero and at most a day. */
export const durationSchema = z.string().transform((text, context): Duration => {
  const [, amount = '', unit = ''] = /^([0-9]{1,9}(?:[.][0-9]{1,3})?)(ms|s|m|h)$/.exec(text) ?? [];
  const ms = Math.round(Number(amount) * (UNITS_MS[unit] ?? NaN));
  if (ms > 0 && ms <= 24 * 3_600_000) return { ms };
  return refuse(context, `must be a time span such as 500ms, 10s or 5m, at most 24h, not "${text}"`);
});

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/**
 * Where to listen: `host:port`. Port 0 takes a free one. An IPv6 address may do without its brackets, since there always is
 * a port: Kubernetes puts a node's address into a flag as it is.
 */
export const listenAddressSchema = z.string().transform((text, context): ListenAddress => {
  const [, bracketed, plain, port = ''] = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s[\]]+)):([0-9]{1,5})$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  const isAddress = host !== undefined && (!host.includes(':') || isIPv6(host));
  if (isAddress && Number(port) <= 65_535) return { host, port: Number(port) };
  return refuse(context, `must be host:port, such as 127.0.0.1:9960 or 0.0.0.0:9960, not "${text}"`);
});

export interface SoftwareGpus {
  readonly count: number;
  readonly memoryBytes: number;
}

const MAX_SOFTWARE_GPUS = 16;

/** Software GPUs: `2x8Gi` is two of 8 GiB each, `8Gi` is one. */
export const softwareGpusSchema = z.string().transform((text, context): SoftwareGpus => {
  const [, count = '1', memory = ''] = /^(?:([0-9]{1,3})x)?(.+)$/.exec(text) ?? [];
  const memoryBytes = parseQuantity(memory) ?? 0;
  const isCount = Number(count) >= 1 && Number(count) <= MAX_SOFTWARE_GPUS;
  if (isCount && memoryBytes >= 64 * 1024 * 1024) return { count: Number(count), memoryBytes };
  return refuse(
    context,
    `must be COUNTxMEMORY such as 2x8Gi: 1 to ${MAX_SOFTWARE_GPUS} GPUs of at least 64Mi, not "${text}"`,
  );
});

function refuse(context: z.RefinementCtx, message: string): never {
  context.addIssue({ code: 'custom', message });
  return z.NEVER;
}
