import { Chat, expect, test } from '../fixtures.js';
import { Wire } from '../wire.js';

const LONG = 'Write a very long story about a lighthouse keeper, the sea and a storm.';

/** The words of a text, without what Markdown adds or takes away. */
const words = (text: string): string[] => text.match(/\p{L}+/gu) ?? [];

test('stop frees the model and keeps what was said', async ({ chat, server }) => {
  await chat.ask(LONG);
  await expect(chat.answer()).toContainText(/\w+ \w+ \w+/);
  await chat.stop.click();
  await expect(chat.stop).toBeHidden();
  await expect.poll(() => server.metric('jnana_engine_live_requests')).toBe(0);
  await expect(chat.answer()).toContainText(/\w+ \w+ \w+/);
});

test('a reload in mid-answer loses nothing', async ({ chat, page }) => {
  await chat.ask(LONG);
  await expect(chat.answer()).toContainText(/\w+ \w+ \w+/);
  const early = await chat.text().innerText();
  await page.reload();
  await expect(chat.text()).toContainText(early.slice(0, 20));
  await chat.answered();
  const text = await chat.text().innerText();
  await page.reload();
  await expect(chat.text()).toHaveText(text, { useInnerText: true });
});

test('a dropped connection loses nothing', async ({ page, server }) => {
  const wire = await Wire.to(server.port);
  const chat = new Chat(page, wire.url);
  const places: number[] = [];
  page.on('request', (request) => {
    const after = new URL(request.url()).searchParams.get('after');
    if (after) places.push(Number(after));
  });
  const shown = async () => words(await chat.text().innerText());

  await chat.open();
  await chat.ask(LONG);
  await expect(chat.answer()).toContainText(/\w+ \w+ \w+/);
  expect(places).toEqual([0]);
  wire.cut();
  await expect(page.getByText('The server is gone.')).toBeVisible();
  const early = (await shown()).length;
  wire.mend();
  await expect.poll(async () => (await shown()).length).toBeGreaterThan(early);
  // It goes on where it broke off. The last word may still be growing.
  expect(places.at(-1)).toBeGreaterThan(0);
  const later = (await shown()).slice(0, -1);
  await chat.answered();
  await expect(chat.answer().getByRole('alert')).toHaveCount(0);
  const stored = words(await chat.storedText());
  expect(later).toEqual(stored.slice(0, later.length));
  expect(await shown()).toEqual(stored);
  wire.close();
});

test('when the server is gone the page says so, and goes on when it is back', async ({ chat, server, page }) => {
  await chat.ask('What is the capital of France?');
  await chat.answered();
  await server.kill();
  await chat.ask('And of Italy?');
  await expect(page.getByText('The server is gone.')).toBeVisible();
  await server.start();
  await expect(page.getByText('The server is gone.')).toBeHidden();
  await expect(chat.thread).toContainText('Paris');
  if (await chat.message.inputValue()) await chat.send.click();
  await chat.answered();
  await expect(chat.answer()).toContainText('Rome');
});
