import { browser } from '../browser.js';
import { expect, test } from '../fixtures.js';
import { media } from '../media.js';

test.use(browser({ sound: media.speech }));

/** The recording with the quiet around it. */
const SECONDS = 13;

test('spoken words are heard, shown, and answered', async ({ chat, server }) => {
  await expect(await chat.speak(SECONDS)).toHaveValue(/ask not what your country can do for you/i);
  await chat.send.click();
  await chat.answered();
  await expect(chat.question()).toContainText(/ask not what your country can do for you/i);
  await expect(chat.text()).toContainText(/\w/);
  const [question] = (await chat.stored()).messages;
  const recording = question.parts.find((part) => part.blob)!.blob!;
  const bytes = Buffer.from(await (await fetch(`${server.url}/api/blobs/${recording.hash}`)).arrayBuffer());
  // 16-bit PCM at 16 kHz, one channel.
  expect(bytes.toString('latin1', 0, 4)).toBe('RIFF');
  expect([bytes.readUInt16LE(20), bytes.readUInt16LE(22), bytes.readUInt32LE(24), bytes.readUInt16LE(34)]).toEqual([1, 1, 16_000, 16]);
});

test('a button that is held records until it is let go', async ({ chat, page }) => {
  await chat.input('Speak').click();
  const record = page.getByRole('button', { name: 'Record', exact: true });
  await expect(record).toBeEnabled();
  // The list of microphones may come late and move the button from under the pointer.
  await expect(async () => {
    await page.mouse.up();
    await record.hover();
    await page.mouse.down();
    await expect(page.getByRole('button', { name: 'Stop recording' })).toBeVisible({ timeout: 3_000 });
  }).toPass();
  await page.waitForTimeout(5_000);
  await page.mouse.up();
  // The sound comes round and round: five seconds of it may begin anywhere.
  await expect(page.getByRole('textbox', { name: 'Speech: text' })).toHaveValue(/americans|country|ask/i);
});

test('what was heard can be corrected before it is sent', async ({ chat }) => {
  const heard = await chat.speak(SECONDS);
  await expect(heard).toHaveValue(/country/i);
  await heard.fill('What is the capital of Germany?');
  await chat.send.click();
  await chat.answered();
  await expect(chat.question()).toContainText('Germany');
  await expect(chat.question()).not.toContainText(/country/i);
  await expect(chat.answer()).toContainText('Berlin');
});
