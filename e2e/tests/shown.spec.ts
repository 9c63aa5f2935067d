import { browser } from '../browser.js';
import { Chat, expect, test } from '../fixtures.js';
import { media } from '../media.js';
import { Server } from '../server.js';

test.use(browser({ sound: media.explain }));

test('a picture from the camera takes 49 positions of the prompt', async ({ chat, page }) => {
  await chat.input('Show a picture').click();
  await page.getByRole('button', { name: 'Capture' }).click();
  // The frame that will be sent is shown, and can be taken again.
  await page.getByRole('button', { name: 'Retake' }).click();
  await page.getByRole('button', { name: 'Capture' }).click();
  await page.getByRole('button', { name: 'Use', exact: true }).click();
  await expect(chat.attached()).toContainText('49 positions');
  await expect(chat.attached()).not.toContainText('untrained');
  await chat.ask('What do you see?');
  await chat.answered();
  await expect(chat.question().getByRole('img')).toBeVisible();
  await expect(await chat.details()).toContainText(/Picture\D*49/);
});

test('a model that has not learned to see says so beside the picture', async ({ page }) => {
  const server = await Server.create('model = "smollm2-135m-instruct"\n');
  try {
    const chat = new Chat(page, server.url);
    await chat.open();
    await chat.show();
    await expect(chat.attached()).toContainText('projector: untrained');
  } finally {
    await server.remove();
  }
});

test('a picture, speech and text go together into one question', async ({ chat }) => {
  await chat.show();
  await expect(await chat.speak()).toHaveValue(/explain/i);
  await chat.ask('Use one sentence.');
  await chat.answered();
  const question = chat.question();
  await expect(question.getByRole('img')).toBeVisible();
  await expect(question).toContainText(/explain/i);
  await expect(question).toContainText('Use one sentence.');
  await expect(await chat.details()).toContainText(/Picture\D*49/);
});

test('a picture can be given as a file', async ({ chat, page }) => {
  await chat.input('Show a picture').click();
  const chooser = page.waitForEvent('filechooser');
  await page.getByRole('button', { name: /choose a file/i }).click();
  await (await chooser).setFiles(media.photo);
  await expect(page.getByRole('img', { name: 'Picture' })).toBeVisible();
  await chat.ask('Describe it.');
  await chat.answered();
  await expect(await chat.details()).toContainText(/Picture\D*49/);
});

test('a picture that was not sent yet is still there after a reload', async ({ chat, page }) => {
  await chat.show();
  const attached = chat.attached();
  await expect(attached).toContainText('49 positions');
  await page.reload();
  await expect(attached).toContainText('49 positions');
  await expect(attached.getByRole('img')).toHaveJSProperty('complete', true);
  await chat.ask('What do you see?');
  await chat.answered();
  await expect(await chat.details()).toContainText(/Picture\D*49/);
  await page.reload();
  await expect(attached).toBeHidden();
});
