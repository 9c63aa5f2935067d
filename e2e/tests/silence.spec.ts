import { browser } from '../browser.js';
import { expect, test } from '../fixtures.js';
import { media } from '../media.js';

test.use(browser({ sound: media.silence }));

test('silence gives no words, and says so', async ({ chat, page }) => {
  await chat.input('Speak').click();
  await page.getByRole('button', { name: 'Record', exact: true }).click();
  await page.waitForTimeout(2_000);
  await page.getByRole('button', { name: 'Stop recording' }).click();
  await expect(page.getByText(/nothing was heard/i).first()).toBeVisible();
});
