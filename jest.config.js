const common = {
  testEnvironment: 'node',
  extensionsToTreatAsEsm: ['.ts'],
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      { jsc: { parser: { syntax: 'typescript' }, target: 'es2024' }, module: { type: 'es6' } },
    ],
  },
};

/** @type {import('jest').Config} */
export default {
  // Only what hangs is to fail: a machine that has other things to do is no fault.
  testTimeout: 60_000,
  projects: [
    {
      ...common,
      displayName: 'unit',
      roots: ['<rootDir>/src', '<rootDir>/test'],
      testMatch: ['**/*.test.ts'],
      testPathIgnorePatterns: ['/test/(e2e|api-server|cluster|guest)/'],
    },
    { ...common, displayName: 'e2e', roots: ['<rootDir>/test'], testMatch: ['**/test/e2e/**/*.test.ts'] },
    { ...common, displayName: 'api-server', roots: ['<rootDir>/test'], testMatch: ['**/test/api-server/**/*.test.ts'] },
    { ...common, displayName: 'cluster', roots: ['<rootDir>/test'], testMatch: ['**/test/cluster/**/*.test.ts'] },
    { ...common, displayName: 'guest', roots: ['<rootDir>/test'], testMatch: ['**/test/guest/**/*.test.ts'] },
  ],
};
