import { browser, withoutDevices } from '../browser.js';
import { expect, test } from '../fixtures.js';

test.describe('permission denied', () => {
  test.use(browser({ allowed: false }));

  test('is said in words, with a way on', async ({ chat, page }) => {
    await expect(chat.message).toBeVisible();
    await page.getByRole('button', { name: 'Show a picture' }).click();
    await expect(page.getByRole('alert')).toContainText(/permission/i);
    await expect(page.getByRole('button', { name: 'Try again' })).toBeVisible();
    await expect(page.getByRole('button', { name: /choose a file/i })).toBeVisible();
  });
});

test.describe('no camera', () => {
  test.use(withoutDevices());

  test('is said in words, with a way on', async ({ chat, page }) => {
    await expect(chat.message).toBeVisible();
    await page.getByRole('button', { name: 'Show a picture' }).click();
    await expect(page.getByRole('alert')).toContainText(/no (camera|device)/i);
    await expect(page.getByRole('button', { name: 'Try again' })).toBeVisible();
  });
});

test('tracks are released when the panel closes', async ({ chat, page }) => {
  await page.evaluate(() => {
    const media = navigator.mediaDevices;
    const original = media.getUserMedia.bind(media);
    const tracks: MediaStreamTrack[] = [];
    Object.assign(window, { liveTracks: () => tracks.filter((track) => track.readyState === 'live').length });
    media.getUserMedia = async (constraints) => {
      const stream = await original(constraints);
      tracks.push(...stream.getTracks());
      return stream;
    };
  });
  const live = () => page.evaluate(() => (window as unknown as { liveTracks(): number }).liveTracks());
  await page.getByRole('button', { name: 'Show a picture' }).click();
  await expect.poll(live).toBe(1);
  await page.getByRole('button', { name: 'Close', exact: true }).click();
  await expect.poll(live).toBe(0);
  await page.getByRole('button', { name: 'Speak' }).click();
  await page.getByRole('button', { name: 'Record', exact: true }).click();
  await expect.poll(live).toBe(1);
  await page.getByRole('button', { name: 'Close', exact: true }).click();
  await expect.poll(live).toBe(0);
  await expect(chat.message).toBeVisible();
});

test('without a secure context the page says what to do', async ({ page, server }) => {
  await page.addInitScript(() => Object.defineProperty(navigator, 'mediaDevices', { value: undefined }));
  await page.goto(server.url);
  await page.getByRole('button', { name: 'Show a picture' }).click();
  await expect(page.getByRole('alert')).toContainText('--tls');
});
