import type { IncomingMessage } from 'node:http';
import type { z } from 'zod';
import { failure } from '../api/status.ts';
import { ApiFailure, badRequest } from './api-failure.ts';

// The API server of Kubernetes takes 3 MiB, etcd 1.5 MiB; an object of ours is a few KiB.
const MAX_BODY_BYTES = 1024 * 1024;

/** The body of a request as JSON. @throws ApiFailure if it is too long or none. */
export async function readJson(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) {
      throw new ApiFailure(failure(413, 'RequestEntityTooLarge', `the object is larger than ${MAX_BODY_BYTES} bytes`));
    }
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8')) as unknown;
  } catch {
    throw badRequest('the body of the request is not JSON');
  }
}

/** The body of a request in the form that `schema` says. @throws ApiFailure that names each field that is wrong. */
export async function readBody<T>(request: IncomingMessage, schema: z.ZodType<T>): Promise<T> {
  const parsed = schema.safeParse(await readJson(request));
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`);
  throw badRequest(problems.join('; '));
}
