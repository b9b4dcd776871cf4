import type { SessionControl } from './ports.ts';

/**
 * The sessions of claims of an operator that signs no tickets: without a ticket no gateway opens a session, so there is
 * none to end. The API for node agents, which signs them, brings the sessions with it and takes the place of this.
 */
export const noSessions: SessionControl = { close: () => Promise.resolve('closed') };
