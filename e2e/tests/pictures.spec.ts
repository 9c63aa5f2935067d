import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { expect, test, type Chat } from '../fixtures.js';
import { media } from '../media.js';

test.use({ permissions: ['clipboard-read', 'clipboard-write'] });

/** Asks about what is attached; the picture of the question as the server has stored it. */
async function sent(chat: Chat): Promise<{ hash: string; mime: string }> {
  await expect(chat.attached()).toContainText('49 positions');
  await chat.ask('What do you see?');
  await expect(chat.question().getByRole('img')).toBeVisible();
  await chat.answered();
  const [question] = (await chat.stored()).messages;
  return question.parts.find((part) => part.blob)!.blob!;
}

test('a large picture can be pasted, and is sent with 1024 pixels', async ({ chat, page }) => {
  await page.evaluate(async () => {
    const canvas = new OffscreenCanvas(3_000, 2_000);
    canvas.getContext('2d')!.fillRect(500, 500, 1_000, 1_000);
    const png = await canvas.convertToBlob({ type: 'image/png' });
    await navigator.clipboard.write([new ClipboardItem({ 'image/png': png })]);
  });
  await chat.message.focus();
  await page.keyboard.press('ControlOrMeta+V');
  const { hash, mime } = await sent(chat);
  expect(mime).toBe('image/jpeg');
  const size = await page.evaluate(async (url) => {
    const { width, height } = await createImageBitmap(await (await fetch(url)).blob());
    return [width, height];
  }, `/api/blobs/${hash}`);
  expect(size).toEqual([1_024, 683]);
});

test('a small picture can be dropped, and is sent as it is', async ({ chat, page }) => {
  const devtools = await page.context().newCDPSession(page);
  const data = { items: [], files: [media.photo], dragOperationsMask: 1 };
  for (const type of ['dragEnter', 'dragOver', 'drop'] as const) {
    await devtools.send('Input.dispatchDragEvent', { type, x: 300, y: 300, data });
  }
  const { hash } = await sent(chat);
  expect(hash).toBe(createHash('sha256').update(readFileSync(media.photo)).digest('hex'));
});
