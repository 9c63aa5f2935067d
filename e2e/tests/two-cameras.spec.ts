import { browser } from '../browser.js';
import { expect, test } from '../fixtures.js';

test.use(browser({ cameras: 2 }));

test('a camera can be chosen, and the choice stays', async ({ chat, page }) => {
  const device = page.getByRole('combobox', { name: 'Device' });
  await chat.input('Show a picture').click();
  await expect(device).toHaveValue(/\w/);
  const first = await device.inputValue();
  await device.selectOption({ index: 1 });
  await expect(page.getByRole('button', { name: 'Capture' })).toBeVisible();
  const chosen = await device.inputValue();
  expect(chosen).not.toBe(first);
  await page.reload();
  await chat.input('Show a picture').click();
  await expect(device).toHaveValue(chosen);
});
