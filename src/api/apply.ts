/** The content type of a patch that says what the whole manifest is, and not only what is to change. */
export const APPLY_TYPE = 'application/apply-patch+json';

/** The header that tells what such a patch did: `created`, `configured` or `unchanged`. */
export const APPLY_OUTCOME = 'x-aquifer-apply';
