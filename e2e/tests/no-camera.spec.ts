import { withoutDevices } from '../browser.js';
import { expect, test } from '../fixtures.js';

test.use(withoutDevices());

test('a machine without a camera is told so in words, with a way on', async ({ chat, page }) => {
  await chat.input('Show a picture').click();
  await expect(page.getByRole('alert')).toContainText(/no (camera|device)/i);
  await expect(page.getByRole('button', { name: 'Try again' })).toBeVisible();
});

test('a machine without a microphone is told so in words, with a way on', async ({ chat, page }) => {
  await chat.input('Speak').click();
  await expect(page.getByRole('alert')).toContainText(/no microphone was found/i);
  await expect(page.getByRole('button', { name: 'Try again' })).toBeVisible();
  await expect(page.getByRole('button', { name: /choose a file/i })).toBeVisible();
});
