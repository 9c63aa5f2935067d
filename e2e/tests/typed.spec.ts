import { type Download } from '@playwright/test';
import { expect, test, type Stored } from '../fixtures.js';

async function saved(download: Download): Promise<{ name: string; text: string }> {
  let text = '';
  for await (const chunk of await download.createReadStream()) text += chunk;
  return { name: download.suggestedFilename(), text };
}

test('a typed question is answered by the model', async ({ chat }) => {
  await chat.ask('What is the capital of France?');
  const answer = await chat.answered();
  await expect(answer).toContainText('Paris');
});

test('the answer streams: its beginning is there before its end', async ({ chat }) => {
  const lengths = await chat.growth('Write a long story about a lighthouse keeper and the sea.');
  expect(lengths.length).toBeGreaterThan(1);
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
  const markdown = await saved(await download);
  expect(markdown.name).toBe('striped-animals.md');
  expect(markdown.text).toContain('Tell me about zebras.');

  const another = page.waitForEvent('download');
  await renamed.getByRole('button', { name: 'Export JSON' }).click();
  const json = await saved(await another);
  expect(json.name).toBe('striped-animals.json');
  expect(JSON.parse(json.text)).toEqual(await chat.stored());

  await renamed.getByRole('button', { name: 'Delete', exact: true }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
  await expect(list.getByRole('listitem')).toHaveCount(0);
});

test('model output cannot bring markup of its own', async ({ chat, page }) => {
  const said = [
    'Inline <img src=x onerror="window.ran = 1"> and [a link](javascript:window.ran=2).',
    '<script>window.ran = 3</script>',
    '<iframe srcdoc="<script>parent.ran = 4</script>"></iframe>',
    'The end.',
  ].join('\n\n');
  let goOn = () => {};
  const looked = new Promise<void>((resolve) => (goOn = resolve));
  // No model can be made to say this for sure, so the events come from here: the text, then the end.
  await page.route('**/events?after=*', async (route) => {
    const url = new URL(route.request().url());
    const [conversation, id] = url.pathname.split('/messages/').map((part) => part.replace('/events', ''));
    let event: object = { seq: 1, type: 'text', text: said };
    if (url.searchParams.get('after') === '1') {
      await looked;
      const { messages } = (await (await fetch(`${url.origin}${conversation}`)).json()) as Stored;
      const answer = messages.find((message) => message.id === id);
      event = { seq: 2, type: 'end', message: { ...answer, state: 'done', parts: [{ type: 'text', text: said }] } };
    }
    await route.fulfill({ contentType: 'text/event-stream', body: `data: ${JSON.stringify(event)}\n\n` });
  });
  const isHarmless = async () => {
    await expect(chat.text()).toContainText('<img src=x onerror');
    await expect(chat.text()).toContainText('<script>window.ran = 3</script>');
    await expect(chat.text()).toContainText('The end.');
    await expect(chat.text().locator('img, script, iframe, [onerror], [href^="javascript:"]')).toHaveCount(0);
    expect(await page.evaluate(() => 'ran' in window)).toBe(false);
  };
  await chat.ask('Say something.');
  await isHarmless();
  await expect(chat.stop).toBeVisible();
  goOn();
  await chat.answered();
  await isHarmless();
});

test('an answer can be copied', async ({ chat, context, page }) => {
  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  await chat.ask('What is the capital of France?');
  const answer = await chat.answered();
  await answer.getByRole('button', { name: 'Copy', exact: true }).click();
  await expect(page.getByRole('status').filter({ hasText: 'Copied.' })).toBeVisible();
  const copied = await page.evaluate(() => navigator.clipboard.readText());
  expect(copied).toContain('Paris');
  expect(copied).toBe(await chat.storedText());
});
