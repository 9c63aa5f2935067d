import { browser } from '../browser.js';
import { expect, test } from '../fixtures.js';
import { media } from '../media.js';

test.use(browser({ sound: media.silence }));

test('silence gives no words, and Send says so', async ({ chat, page }) => {
  await chat.input('Speak').click();
  await page.getByRole('button', { name: 'Record', exact: true }).click();
  await page.waitForTimeout(2_000);
  await page.getByRole('button', { name: 'Stop recording' }).click();
  await expect(page.getByText(/nothing was heard/i).first()).toBeVisible();
  await chat.send.click();
  await expect(page.getByRole('status').filter({ hasText: /no words yet/i })).toBeVisible();
  await expect(chat.thread.getByRole('article')).toHaveCount(0);
  await page.getByRole('textbox', { name: 'Speech: text' }).fill('What is the capital of France?');
  await chat.send.click();
  await expect(await chat.answered()).toContainText('Paris');
});
