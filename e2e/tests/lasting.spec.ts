import { expect, test } from '../fixtures.js';

const LONG = 'Write a very long story about a lighthouse keeper, the sea and a storm.';

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

test('a dropped connection loses nothing', async ({ chat, context }) => {
  await chat.ask(LONG);
  await expect(chat.answer()).toContainText(/\w+ \w+ \w+/);
  await context.setOffline(true);
  await chat.page.waitForTimeout(1_000);
  await context.setOffline(false);
  await chat.answered();
  await expect(chat.answer().getByRole('alert')).toHaveCount(0);
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
