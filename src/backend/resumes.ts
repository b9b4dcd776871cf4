/** How attempts to go on with a session over another connection end. */
export const RESUME_OUTCOMES = ['resumed', 'refused', 'expired'] as const;

export type ResumeCounts = Readonly<Record<(typeof RESUME_OUTCOMES)[number], number>>;

/** The sum of what the gateways have told. */
export interface ResumeAccount {
  add(more: ResumeCounts): void;
  readonly total: () => ResumeCounts;
}

export function createResumeAccount(): ResumeAccount {
  let total: ResumeCounts = { resumed: 0, refused: 0, expired: 0 };
  return {
    add(more) {
      total = {
        resumed: total.resumed + more.resumed,
        refused: total.refused + more.refused,
        expired: total.expired + more.expired,
      };
    },
    total: () => total,
  };
}
