/** The version of the whole product: one for all its parts, as in package.json. */
export const VERSION = '0.1.0';
