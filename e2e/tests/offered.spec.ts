import { Chat, expect, test } from '../fixtures.js';
import { Server } from '../server.js';

test('only plugins that are switched on have a button', async ({ page }) => {
  const server = await Server.create('disabled-plugins = ["vision"]\n');
  try {
    const chat = new Chat(page, server.url);
    await chat.open();
    await expect(chat.input('Speak')).toBeVisible();
    await expect(page.getByRole('group', { name: 'Inputs' }).getByRole('button')).toHaveCount(1);
  } finally {
    await server.remove();
  }
});
