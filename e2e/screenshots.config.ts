import { defineConfig } from '@playwright/test';
import tests from './playwright.config.js';

/**
 * Makes the pictures in `docs/images`, in `e2e` and with the program and models that people get:
 * `JNANA=../target/release/jnana JNANA_TEST_MODELS=~/.local/share/jnana/models npx playwright test --config screenshots.config.ts`
 */
export default defineConfig(tests, { testDir: './screenshots', retries: 0 });
