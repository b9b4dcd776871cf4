import type { Call } from './call-shape.ts';
import { codeCalls } from './calls-code.ts';
import { memoryCalls } from './calls-memory.ts';
import { orderCalls } from './calls-order.ts';
import { sessionCalls } from './calls-session.ts';

/** Bumped by hand when the meaning of a message changes without its shape; the shape itself is in the fingerprint. */
export const PROTOCOL_MAJOR = 1;

/** Every message between client and worker: the only source of both codecs, of the reference page and of the version. */
export const calls: readonly Call[] = [...sessionCalls, ...codeCalls, ...orderCalls, ...memoryCalls];
