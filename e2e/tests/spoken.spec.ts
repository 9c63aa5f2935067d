import { browser } from '../browser.js';
import { expect, test } from '../fixtures.js';
import { media } from '../media.js';

test.describe('a spoken question', () => {
  test.use(browser({ sound: media.question }));

  test('is heard, shown, and answered', async ({ chat, page }) => {
    await page.getByRole('button', { name: 'Speak' }).click();
    await page.getByRole('button', { name: 'Record', exact: true }).click();
    await expect(page.getByRole('meter', { name: /level/i })).toBeVisible();
    // The fake microphone says a second of quiet, the question, and quiet again.
    await page.waitForTimeout(4_500);
    await page.getByRole('button', { name: 'Stop recording' }).click();
    const heard = page.getByRole('textbox', { name: 'Speech' });
    await expect(heard).toHaveValue(/capital of france/i);

    await chat.send.click();
    await chat.answered();
    await expect(chat.question()).toContainText(/capital of france/i);
    await expect(chat.answer()).toContainText('Paris');
  });

  test('can be corrected before it is sent', async ({ chat, page }) => {
    await page.getByRole('button', { name: 'Speak' }).click();
    await page.getByRole('button', { name: 'Record', exact: true }).click();
    await page.waitForTimeout(4_500);
    await page.getByRole('button', { name: 'Stop recording' }).click();
    const heard = page.getByRole('textbox', { name: 'Speech' });
    await expect(heard).toHaveValue(/france/i);
    await heard.fill('What is the capital of Italy?');
    await chat.send.click();
    await chat.answered();
    await expect(chat.question()).toContainText('Italy');
    await expect(chat.answer()).toContainText('Rome');
  });
});

test.describe('silence', () => {
  test.use(browser({ sound: media.silence }));

  test('gives no words, and says so', async ({ chat, page }) => {
    await expect(chat.message).toBeVisible();
    await page.getByRole('button', { name: 'Speak' }).click();
    await page.getByRole('button', { name: 'Record', exact: true }).click();
    await page.waitForTimeout(2_000);
    await page.getByRole('button', { name: 'Stop recording' }).click();
    await expect(page.getByText(/nothing was heard/i)).toBeVisible();
  });
});
