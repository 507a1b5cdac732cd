import { defineConfig } from 'vitest/config';

// libmilter is once per process, so every test file gets a process of its own.
// No retries: a test that needs a second try is a bug in the test or in the product.
export default defineConfig({
  // Examples import `libmilter`, which here is lib, not what was last built of it.
  resolve: { tsconfigPaths: true },
  test: {
    include: ['test/**/*.test.ts'],
    pool: 'forks',
    isolate: true,
    retry: 0,
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
});
