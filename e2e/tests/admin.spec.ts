import { Admin, isInOrder, tabTo } from '../admin.js';
import { Chat, expect, test } from '../fixtures.js';
import { Server } from '../server.js';

test('an operator signs in, sees what runs here, and signs out', async ({ chat, page, server }) => {
  await chat.ask('What is the capital of France?');
  await chat.answered();
  const admin = new Admin(page, server);
  await admin.signIn();

  await expect(admin.title('Models')).toBeFocused();
  const model = admin.part('jnana-135m');
  await expect(admin.fact(model, 'Quantisation')).toHaveText('q4_1');
  await expect(admin.fact(admin.part('Memory'), 'Whole process')).toHaveText(/^\d+\.\d [MG]B$/);
  await expect(admin.fact(admin.part('Requests'), 'Finished')).toHaveText(/^[1-9]\d*$/);

  await admin.go('Plugins');
  await expect(page).toHaveURL(`${server.url}/admin/plugins`);
  const plugins = page.getByRole('article');
  await expect(plugins.first()).toBeVisible();
  for (const plugin of await plugins.all()) {
    await expect(plugin.getByText('ready', { exact: true })).toBeVisible();
    await expect(admin.fact(plugin, 'Calls')).toHaveText(/^\d+$/);
    await expect(admin.fact(plugin, 'sha256')).toHaveText(/^[0-9a-f]{64}$/);
  }
  await page.goBack();
  await expect(admin.title('Models')).toBeVisible();

  await page.reload();
  await expect(admin.title('Models')).toBeVisible();
  await admin.signOutButton.click();
  await expect(admin.token).toBeFocused();
  await expect(model).toHaveCount(0);
  await page.reload();
  await expect(admin.token).toBeVisible();
});

test('a folder that may not serve is refused in words, and every generation says what it is made of', async ({ page, server }) => {
  const admin = new Admin(page, server);
  await admin.signIn();
  const generations = admin.part('Generations');
  await expect(admin.fact(generations, 'Core, sha256')).toHaveText(/^[0-9a-f]{64}$/);
  await expect(generations.getByRole('button', { name: 'Roll back' })).toHaveCount(0);
  await page.getByLabel('Folder on the server').fill('/etc');
  await page.getByRole('button', { name: 'Load', exact: true }).click();
  await expect(page.getByRole('alert')).toContainText('/etc');
  await page.getByRole('button', { name: 'Dismiss' }).click();
  await expect(page.getByRole('alert')).toHaveCount(0);
});

test('whoever converses does not load administration', async ({ chat, page, server }) => {
  const loaded = () => page.evaluate(() => performance.getEntriesByType('resource').map(({ name }) => new URL(name).pathname));
  await expect(chat.message).toBeVisible();
  expect(await loaded()).toContain('/app_bg.wasm');
  expect(await loaded()).not.toContain('/admin_bg.wasm');
  await new Admin(page, server).open();
  expect(await loaded()).toContain('/admin_bg.wasm');
  expect(await loaded()).not.toContain('/app_bg.wasm');
});

test('figures follow what happens', async ({ context, page, server }) => {
  const admin = new Admin(page, server);
  await admin.signIn();
  const finished = admin.fact(admin.part('Requests'), 'Finished');
  const before = Number(await finished.innerText());
  const chat = new Chat(await context.newPage(), server.url);
  await chat.open();
  await chat.ask('What is the capital of France?');
  await chat.answered();
  await page.bringToFront();
  await expect.poll(async () => Number(await finished.innerText())).toBeGreaterThan(before);
});

test('wrong tokens are told so, and then have to wait', async ({ page }) => {
  const server = await Server.create();
  try {
    const admin = new Admin(page, server);
    await admin.open();
    const alert = page.getByRole('alert');
    for (let tries = 0; tries < 5; tries++) {
      const answer = page.waitForResponse('**/api/admin/sign-in');
      await admin.bring('not the token');
      expect((await answer).status()).toBe(403);
      await expect(alert).toContainText('this is not the admin token');
    }
    await admin.bring(await server.adminToken());
    await expect(alert).toContainText(/too many wrong tokens.*try again in \d+ s/);
    await expect(admin.signOutButton).toHaveCount(0);
  } finally {
    await server.remove();
  }
});

test('a new token ends the session of the old one, and takes its figures off the page', async ({ page, server }) => {
  const admin = new Admin(page, server);
  await admin.signIn();
  await expect(admin.part('Memory')).toBeVisible();
  const token = await server.adminToken();
  await expect(page.getByRole('alert')).toContainText('The session has ended.');
  await expect(admin.part('Memory')).toHaveCount(0);
  await admin.bring(token);
  await expect(admin.part('Memory')).toBeVisible();
});

test('no script and no other page of the server gets at the session', async ({ page, server }) => {
  const admin = new Admin(page, server);
  await admin.signIn();
  expect(await page.evaluate(() => document.cookie)).not.toContain('jnana_admin');
  const status = await page.evaluate(async () => (await fetch('/api/admin/sign-out', { method: 'POST' })).status);
  expect(status).toBe(403);
  await page.reload();
  await expect(admin.signOutButton).toBeVisible();
});

test('the settings of the chat lead there', async ({ chat, page }) => {
  await page.getByRole('button', { name: 'Settings' }).click();
  await page.getByRole('link', { name: 'Administration' }).click();
  await expect(page.getByLabel('Admin token')).toBeFocused();
  await page.getByRole('link', { name: 'Back to the conversations' }).click();
  await expect(chat.message).toBeVisible();
});

test('the keyboard is enough to administer', async ({ page, server }) => {
  const admin = new Admin(page, server);
  await admin.open();
  await expect(admin.token).toBeFocused();
  await page.keyboard.type(await server.adminToken());
  await page.keyboard.press('Enter');
  await expect(admin.title('Models')).toBeFocused();
  const plugins = admin.navigation.getByRole('link', { name: 'Plugins' });
  await tabTo(page, plugins, 'Shift+Tab');
  await page.keyboard.press('Enter');
  await expect(admin.title('Plugins')).toBeFocused();
  await tabTo(page, admin.signOutButton, 'Shift+Tab');
  await page.keyboard.press('Enter');
  await expect(admin.token).toBeFocused();
});

for (const colorScheme of ['light', 'dark'] as const) {
  for (const width of [320, 768, 1440]) {
    test(`administration has nothing serious for axe and fits: ${colorScheme}, ${width} px`, async ({ page, server }) => {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height: 800 });
      const admin = new Admin(page, server);
      await admin.open();
      await expect(admin.token).toBeVisible();
      await isInOrder(page);
      await admin.signIn();
      await expect(admin.part('Requests')).toBeVisible();
      await isInOrder(page);
      await expect(admin.part('Candidates').getByText(/nothing is loaded/i)).toBeVisible();
      await isInOrder(page);
      await admin.go('Training');
      await expect(page.getByLabel('Kind of job')).toBeVisible();
      await isInOrder(page);
      await admin.go('Plugins');
      await expect(page.getByRole('article').first()).toBeVisible();
      await isInOrder(page);
    });
  }
}
