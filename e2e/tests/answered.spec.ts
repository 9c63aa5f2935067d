import { type Chat, expect, test } from '../fixtures.js';
import { media } from '../media.js';

/** Shows what is before the camera and asks about it, in a conversation of its own; the answer is in `chat.text()`. */
async function ask(chat: Chat, question: string): Promise<void> {
  await chat.open();
  await chat.show();
  await expect(chat.attached()).toContainText('49 positions');
  await chat.ask(question);
  await chat.answered();
}

test('a red triangle is told by its shape and its colour', async ({ chatWith }) => {
  const chat = await chatWith({ picture: media.triangle });
  await ask(chat, 'what shape is in the image?');
  await expect(chat.text()).toContainText(/\btriangle\b/i);
  await ask(chat, 'what color is the shape?');
  await expect(chat.text()).toContainText(/\bred\b/i);
});

test('a blue circle is told by its shape and its colour', async ({ chatWith }) => {
  const chat = await chatWith({ picture: media.circle });
  await ask(chat, 'what shape is in the image?');
  await expect(chat.text()).toContainText(/\bcircle\b/i);
  await ask(chat, 'what color is the shape?');
  await expect(chat.text()).toContainText(/\bblue\b/i);
});

test('a photograph is answered with a sentence', async ({ chat }) => {
  await ask(chat, 'Describe this image briefly.');
  // Whether it is true is for evaluations to say: one photograph proves nothing.
  await expect(chat.text()).toContainText(/\w+( [\w'-]+,?){2,}.*[.!?]/);
});
