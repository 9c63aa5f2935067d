import { expect, test } from '../fixtures.js';

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
  await chat.input('Show a picture').click();
  await expect.poll(live).toBe(1);
  await page.getByRole('button', { name: 'Close', exact: true }).click();
  await expect.poll(live).toBe(0);
  await chat.input('Speak').click();
  await page.getByRole('button', { name: 'Record', exact: true }).click();
  await expect.poll(live).toBe(1);
  await page.getByRole('button', { name: 'Close', exact: true }).click();
  await expect.poll(live).toBe(0);
  await expect(chat.message).toBeVisible();
});

test('without a secure context the page says what to do', async ({ chat, page }) => {
  await page.addInitScript(() => Object.defineProperty(navigator, 'mediaDevices', { value: undefined }));
  await chat.open();
  await chat.input('Show a picture').click();
  await expect(page.getByRole('alert')).toContainText('--tls');
});
