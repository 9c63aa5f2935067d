import { expect, test } from '../fixtures.js';

test('a typed question is answered by the model', async ({ chat }) => {
  await chat.ask('What is the capital of France?');
  const answer = await chat.answered();
  await expect(answer).toContainText('Paris');
});

test('the answer streams: its beginning is there before its end', async ({ chat }) => {
  await chat.ask('Write a long story about a lighthouse keeper and the sea.');
  await expect(chat.stop).toBeVisible();
  await expect(chat.answer()).toContainText(/\w+ \w+/);
  await expect(chat.stop).toBeVisible();
  const early = (await chat.answer().innerText()).length;
  await expect.poll(async () => (await chat.answer().innerText()).length).toBeGreaterThan(early);
  await chat.stop.click();
});

test('an edited question and a regenerated answer become branches', async ({ chat, page }) => {
  await chat.ask('Say the word apple.');
  await chat.answered();
  await chat.answer().getByRole('button', { name: 'Regenerate' }).click();
  await chat.answered();
  await expect(chat.answer()).toContainText('2/2');
  await chat.question().getByRole('button', { name: 'Edit' }).click();
  const editor = page.getByRole('textbox', { name: 'Edit the question' });
  await editor.fill('Say the word banana.');
  await page.getByRole('button', { name: 'Ask again' }).click();
  await chat.answered();
  await expect(chat.question()).toContainText('banana');
  await expect(chat.question()).toContainText('2/2');
  await chat.question().getByRole('button', { name: 'Previous version' }).click();
  await expect(chat.question()).toContainText('apple');
});

test('conversations can be found, renamed, exported and deleted', async ({ chat, page }) => {
  await chat.ask('Tell me about zebras.');
  await chat.answered();
  const list = page.getByRole('navigation', { name: 'Conversations' });
  const row = list.getByRole('listitem').filter({ hasText: 'zebras' });
  await expect(row).toHaveCount(1);

  await row.getByRole('button', { name: /^Options/ }).click();
  await row.getByRole('button', { name: 'Rename' }).click();
  await page.getByRole('textbox', { name: 'Title' }).fill('Striped animals');
  await page.keyboard.press('Enter');
  const renamed = list.getByRole('listitem').filter({ hasText: 'Striped animals' });
  await expect(renamed).toHaveCount(1);

  await page.getByRole('searchbox', { name: 'Search' }).fill('zebras');
  await expect(list.getByRole('listitem')).toHaveCount(1);

  const options = renamed.getByRole('button', { name: /^Options/ });
  if ((await options.getAttribute('aria-expanded')) !== 'true') await options.click();
  const download = page.waitForEvent('download');
  await renamed.getByRole('button', { name: 'Export Markdown' }).click();
  const text = await (await download).createReadStream();
  let markdown = '';
  for await (const chunk of text) markdown += chunk;
  expect(markdown).toContain('Tell me about zebras.');

  await renamed.getByRole('button', { name: 'Delete', exact: true }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
  await expect(list.getByRole('listitem')).toHaveCount(0);
});

test('model output cannot bring markup of its own', async ({ chat, page }) => {
  await chat.ask('Repeat exactly: <img src=x onerror=alert(1)> <script>alert(2)</script>');
  await chat.answered();
  expect(await page.locator('[role=log] img[src="x"], [role=log] script').count()).toBe(0);
});
