import { browser } from '../browser.js';
import { expect, test } from '../fixtures.js';

test.use(browser({ allowed: false }));

test('a denied permission is said in words, with a way on', async ({ chat, page }) => {
  await chat.input('Show a picture').click();
  await expect(page.getByRole('alert')).toContainText(/not allowed/i);
  await expect(page.getByRole('button', { name: 'Try again' })).toBeVisible();
  await expect(page.getByRole('button', { name: /choose a file/i })).toBeVisible();
});

test('a microphone that may not be used is told so in words, with a way on', async ({ chat, page }) => {
  await chat.input('Speak').click();
  await expect(page.getByRole('alert')).toContainText(/microphone is not allowed/i);
  await expect(page.getByRole('button', { name: 'Try again' })).toBeVisible();
  await expect(page.getByRole('button', { name: /choose a file/i })).toBeVisible();
});
