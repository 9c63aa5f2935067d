import { defineConfig } from '@playwright/test';
import { browser } from './browser.js';

export default defineConfig({
  testDir: './tests',
  globalSetup: './media.ts',
  // One model on two cores: tests would only slow each other down.
  workers: 1,
  timeout: 90_000,
  expect: { timeout: 30_000 },
  forbidOnly: true,
  // A machine that builds beside the tests can starve a recording; a fault in the code fails twice.
  retries: 1,
  reporter: [['list']],
  use: {
    ...browser(),
    trace: 'retain-on-failure',
    screenshot: 'only-on-failure',
  },
});
