import { browser } from '../browser.js';
import { expect, test } from '../fixtures.js';
import { media } from '../media.js';

test.use(browser({ sound: media.question }));

test('a spoken question is heard, shown, and answered', async ({ chat }) => {
  await expect(await chat.speak()).toHaveValue(/capital of france/i);
  await chat.send.click();
  await chat.answered();
  await expect(chat.question()).toContainText(/capital of france/i);
  await expect(chat.answer()).toContainText('Paris');
});

test('what was heard can be corrected before it is sent', async ({ chat }) => {
  const heard = await chat.speak();
  await expect(heard).toHaveValue(/france/i);
  await heard.fill('What is the capital of Germany?');
  await chat.send.click();
  await chat.answered();
  await expect(chat.question()).toContainText('Germany');
  await expect(chat.answer()).toContainText('Berlin');
});
