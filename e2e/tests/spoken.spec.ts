import { browser } from '../browser.js';
import { expect, test } from '../fixtures.js';
import { media } from '../media.js';

test.use(browser({ sound: media.speech }));

/** The recording with the quiet around it. */
const SECONDS = 13;

test('spoken words are heard, shown, and answered', async ({ chat }) => {
  await expect(await chat.speak(SECONDS)).toHaveValue(/ask not what your country can do for you/i);
  await chat.send.click();
  await chat.answered();
  await expect(chat.question()).toContainText(/ask not what your country can do for you/i);
  await expect(chat.text()).toContainText(/\w/);
});

test('what was heard can be corrected before it is sent', async ({ chat }) => {
  const heard = await chat.speak(SECONDS);
  await expect(heard).toHaveValue(/country/i);
  await heard.fill('What is the capital of Germany?');
  await chat.send.click();
  await chat.answered();
  await expect(chat.question()).toContainText('Germany');
  await expect(chat.answer()).toContainText('Berlin');
});
