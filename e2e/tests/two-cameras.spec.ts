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

test('a microphone can be chosen, and the choice stays', async ({ chat, page }) => {
  const device = page.getByRole('combobox', { name: 'Device' });
  await chat.input('Speak').click();
  await expect(device).toHaveValue(/\w/);
  const first = await device.inputValue();
  await device.selectOption({ index: 1 });
  await expect(page.getByRole('button', { name: 'Record', exact: true })).toBeEnabled();
  const chosen = await device.inputValue();
  expect(chosen).not.toBe(first);
  await page.reload();
  await chat.input('Speak').click();
  await expect(device).toHaveValue(chosen);
});

test('the camera can be flipped to the other side', async ({ chat, page }) => {
  await page.addInitScript(() => {
    const media = navigator.mediaDevices;
    const original = media.getUserMedia.bind(media);
    media.getUserMedia = (constraints) => {
      Object.assign(window, { side: ((constraints!.video as MediaTrackConstraints).facingMode as { ideal: string }).ideal });
      return original(constraints);
    };
  });
  await chat.open();
  const side = () => page.evaluate(() => (window as unknown as { side?: string }).side);
  await chat.input('Show a picture').click();
  await expect(page.getByRole('button', { name: 'Capture' })).toBeVisible();
  const first = await side();
  const other = first === 'user' ? 'environment' : 'user';
  await page.getByRole('button', { name: 'Flip' }).click();
  await expect.poll(side).toBe(other);
  await page.reload();
  await chat.input('Show a picture').click();
  await expect.poll(side).toBe(other);
});
