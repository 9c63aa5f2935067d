import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Page } from '@playwright/test';
import { Chat, expect, test as base } from '../fixtures.js';
import { required, Server } from '../server.js';

/** A server without any plugin, its page open, and a folder to build in. */
interface Shop {
  server: Server;
  chat: Chat;
  folder: string;
}

const test = base.extend<{ shop: Shop }>({
  shop: async ({ page }, use) => {
    const folder = mkdtempSync(join(tmpdir(), 'jnana-e2e-shop-'));
    const server = await Server.create(`plugins = "${join(folder, 'plugins')}"\n`);
    try {
      const chat = new Chat(page, server.url);
      await chat.open();
      await expect(page.getByRole('group', { name: 'Inputs' }).getByRole('button')).toHaveCount(0);
      await use({ server, chat, folder });
    } finally {
      await server.remove();
      rmSync(folder, { recursive: true });
    }
  },
});

/** What the page keeps as long as it is not loaded again. */
const mark = (page: Page) => page.evaluate(() => void Object.assign(window, { isSame: true }));
const isSame = (page: Page) => page.evaluate(() => 'isSame' in window);

/** Draws lines from point to point, in parts of the surface. */
async function draw(page: Page, ...points: [x: number, y: number][]): Promise<void> {
  const box = (await page.getByRole('img', { name: 'Drawing surface' }).boundingBox())!;
  const move = ([x, y]: [number, number], steps: number) =>
    page.mouse.move(box.x + x * box.width, box.y + y * box.height, { steps });
  await move(points[0]!, 1);
  await page.mouse.down();
  for (const point of points.slice(1)) await move(point, 8);
  await page.mouse.up();
}

test('a plugin that is installed while the page is open has its canvas there, and its drawing is answered', async ({ page, shop }) => {
  const { server, chat } = shop;
  await mark(page);
  await server.install(join(dirname(required('JNANA')), 'libjnana_sketch.so'));
  await chat.input('Draw').click();
  await draw(page, [0.3, 0.8], [0.7, 0.8], [0.5, 0.2], [0.31, 0.79]);
  await page.getByRole('button', { name: 'Use', exact: true }).click();
  await expect(page.getByRole('textbox', { name: 'Sketch: text' })).toHaveValue(/a (large )?triangle at the middle/);
  expect((await chat.growth('Write a long story about what I drew.')).length).toBeGreaterThan(1);
  await expect(chat.question()).toContainText('triangle');
  expect(await isSame(page)).toBe(true);
});

test('a plugin that nobody has heard of is made, built, installed and used', async ({ page, shop }) => {
  const { server, chat, folder } = shop;
  const name = `p${randomBytes(4).toString('hex')}`;
  execFileSync(required('JNANA'), ['plugin', 'new', name, '--lang', 'c'], { cwd: folder });
  execFileSync('make', { cwd: join(folder, name) });
  await mark(page);
  await server.install(join(folder, name, `lib${name}.so`));
  await chat.input(name.toUpperCase().slice(0, 1) + name.slice(1)).click();
  await page.getByRole('textbox', { name: 'Text', exact: true }).fill('one two three four five');
  await page.getByRole('button', { name: 'Use', exact: true }).click();
  await expect(page.getByRole('textbox', { name: 'Text: text' })).toHaveValue('This text has 5 words.');
  expect((await chat.growth('Write a long story about a text of so many words.')).length).toBeGreaterThan(1);
  expect(await isSame(page)).toBe(true);
});
