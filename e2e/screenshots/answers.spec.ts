import { join } from 'node:path';
import { browser } from '../browser.js';
import { type Chat, expect, test } from '../fixtures.js';
import { media } from '../media.js';

test.use(browser({ sound: media.explain }));

const images = join(import.meta.dirname, '..', '..', 'docs', 'images');

/** Asks about what is attached and keeps the page as `docs/images/NAME.png`. */
async function keep(chat: Chat, name: string, question: string): Promise<void> {
  await chat.page.setViewportSize({ width: 1_280, height: 900 });
  await chat.ask(question);
  await chat.answered();
  // Only an answer that is whole has details.
  await expect(chat.answer().getByLabel(/^Details/)).toBeVisible();
  await expect(chat.question().getByRole('img')).toHaveJSProperty('complete', true);
  await chat.page.screenshot({ path: join(images, `${name}.png`), animations: 'disabled' });
}

async function show(chat: Chat): Promise<void> {
  await chat.show();
  await expect(chat.attached()).toContainText('49 positions');
}

test('a triangle', async ({ chatWith }) => {
  const chat = await chatWith({ picture: media.triangle });
  await show(chat);
  await keep(chat, 'triangle', 'what shape is in the image?');
});

test('a circle', async ({ chatWith }) => {
  const chat = await chatWith({ picture: media.circle });
  await show(chat);
  await keep(chat, 'circle', 'what color is the shape?');
});

test('a photograph', async ({ chat }) => {
  await show(chat);
  await keep(chat, 'photograph', 'Describe this image briefly.');
});

test('a conversation', async ({ chat }) => {
  await show(chat);
  await expect(await chat.speak()).toHaveValue(/explain/i);
  await keep(chat, 'conversation', 'Use one sentence.');
});
