import type { Connection } from './connection.ts';

const PATH = '/apis/authentication.k8s.io/v1/tokenreviews';
const NODE_NAME = 'authentication.kubernetes.io/node-name';

interface Review {
  readonly authenticated?: boolean;
  readonly audiences?: readonly string[];
  readonly user?: { readonly username?: string; readonly extra?: Readonly<Record<string, readonly string[]>> };
}

interface Owner {
  /** `namespace/name` */
  readonly serviceAccount: string;
  /** The node of the pod that the token was projected into. */
  readonly node: string | undefined;
}

/** Asks the API server whose a ServiceAccount token is, and whether it is meant for us. */
export function tokenReviews(connection: Pick<Connection, 'call'>, audience: string) {
  return {
    /** Undefined for a token that is not good for the audience, or not a ServiceAccount's. */
    async review(token: string): Promise<Owner | undefined> {
      const spec = { token, audiences: [audience] };
      const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec };
      const { status = {} } = (await connection.call({ method: 'POST', path: PATH, body })) as { status?: Review };
      // An API server that knows no audiences answers without them: its word is then not about ours.
      const isOurs = status.authenticated === true && status.audiences?.includes(audience) === true;
      return isOurs ? ownerIn(status) : undefined;
    },
  };
}

function ownerIn({ user = {} }: Review): Owner | undefined {
  const [, namespace, name] = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(user.username ?? '') ?? [];
  if (namespace === undefined || name === undefined) return undefined;
  return { serviceAccount: `${namespace}/${name}`, node: user.extra?.[NODE_NAME]?.[0] };
}
