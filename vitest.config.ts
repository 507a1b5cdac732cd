import { defineConfig } from 'vitest/config';

// libmilter is once per process, so every test file gets a process of its own.
// No retries: a test that needs a second try is a bug in the test or in the product.
export default defineConfig({
  // Examples import `libmilter`, which here is lib, not what was last built of it.
  resolve: { tsconfigPaths: true },
  test: {
    include: ['test/**/*.test.ts'],
    pool: 'forks',
    // Unless told it leaves one core to itself, and half of the time of tests is waiting for servers.
    maxWorkers: '100%',
    isolate: true,
    retry: 0,
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
});
