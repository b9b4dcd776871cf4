/** Time as a parameter: the system's in a process, a hand-turned one in tests. */
export interface Clock {
  now(): Date;
  /** Never goes back; says nothing but differences. */
  monotonicMs(): number;
  /** Runs `callback` once, `ms` milliseconds from now, unless disposed before. */
  after(ms: number, callback: () => void): Disposable;
}
