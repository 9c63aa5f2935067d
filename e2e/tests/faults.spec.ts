import { expect, test } from '../fixtures.js';

test('a device in use by another program is said so, and works once it is free', async ({ chat, page }) => {
  await page.evaluate(() => {
    const media = navigator.mediaDevices;
    const original = media.getUserMedia.bind(media);
    media.getUserMedia = (constraints) => {
      media.getUserMedia = original;
      return Promise.reject(new DOMException(`busy for ${JSON.stringify(constraints)}`, 'NotReadableError'));
    };
  });
  await chat.input('Show a picture').click();
  await expect(page.getByRole('alert')).toContainText(/in use by another program/i);
  await page.getByRole('button', { name: 'Try again' }).click();
  await expect(page.getByRole('button', { name: 'Capture' })).toBeVisible();
});

test('a microphone that dies is noticed, and what it recorded is kept', async ({ chat, page }) => {
  await page.evaluate(() => {
    const media = navigator.mediaDevices;
    const original = media.getUserMedia.bind(media);
    media.getUserMedia = async (constraints) => {
      const stream = await original(constraints);
      const [track] = stream.getTracks();
      Object.assign(window, { unplug: () => (track.stop(), track.dispatchEvent(new Event('ended'))) });
      return stream;
    };
  });
  await chat.input('Speak').click();
  await page.getByRole('button', { name: 'Record', exact: true }).click();
  await expect(page.getByRole('meter', { name: 'Level' })).toBeVisible();
  await page.waitForTimeout(5_000);
  await page.evaluate(() => (window as unknown as { unplug(): void }).unplug());
  await expect(page.getByText(/disconnected.*kept/i)).toBeVisible();
  await expect(page.getByRole('textbox', { name: 'Speech: text' })).toHaveValue(/fellow americans/i);
});
