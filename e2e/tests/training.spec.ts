import type { Locator, Page } from '@playwright/test';
import { Admin, isInOrder, tabTo } from '../admin.js';
import { Chat, expect, test as base } from '../fixtures.js';
import { School } from '../school.js';

const test = base.extend<{ school: School; admin: Admin }>({
  school: async ({}, use) => {
    const school = await School.create();
    await use(school);
    await school.remove();
  },
  admin: async ({ page, school }, use) => {
    const admin = new Admin(page, school.server);
    await admin.signIn();
    await use(admin);
  },
});

test.setTimeout(300_000);

/** The form of a projector's training, filled in. */
async function fill(page: Page, school: School, steps: number): Promise<Locator> {
  const form = page.getByRole('form', { name: 'Train a projector' });
  await form.getByRole('combobox', { name: /^Recipe/ }).selectOption(school.recipe);
  await form.getByText('More settings').click();
  await form.getByRole('combobox', { name: /^Data/ }).selectOption('drawn');
  await form.getByRole('spinbutton', { name: /^Steps\s*Steps of/ }).fill(String(steps));
  return form;
}

async function start(page: Page, admin: Admin, school: School, steps: number, title: string): Promise<void> {
  await admin.go('Training');
  const form = await fill(page, school, steps);
  await form.getByRole('textbox', { name: 'Title' }).fill(title);
  await form.getByRole('button', { name: 'Check' }).click();
  await form.getByRole('button', { name: 'Start' }).click();
  await expect(admin.title(title)).toBeFocused();
}

const state = (admin: Admin) => admin.fact(admin.part('Job'), 'State');
const button = (page: Page, name: string) => page.getByRole('button', { name, exact: true });

/** Steps that the shown job has done. */
async function steps(admin: Admin): Promise<number> {
  const text = await admin.fact(admin.part('Job'), 'Step').innerText();
  return Number(text.split(' of ')[0]);
}

/** Waits until the shown job is at work and has done some steps. */
async function isAtWork(admin: Admin, most: number): Promise<void> {
  await expect(state(admin)).toHaveText('running');
  await expect(admin.fact(admin.part('Job'), 'Step')).toHaveText(new RegExp(`^([3-9]|[1-9]\\d+) of ${most}$`), {
    timeout: 120_000,
  });
}

/** First and last value of a curve, as the chart says them in words. */
async function ends(page: Page, chart: RegExp, curve: string): Promise<[number, number]> {
  const words = (await page.getByRole('img', { name: chart }).getAttribute('aria-label'))!;
  const [, first, last] = new RegExp(`${curve}: (\\S+) at step \\S+, (\\S+) at step`).exec(words)!;
  return [Number(first), Number(last)];
}

test('an operator trains a projector, tries it, lets it serve, and goes back', async ({ page, school, admin }) => {
  await admin.go('Training');
  await expect(admin.part('Jobs')).toContainText('No job was started yet.');
  const form = await fill(page, school, 60);
  await expect(form.getByRole('button', { name: 'Start' })).toBeDisabled();
  await form.getByRole('button', { name: 'Check' }).click();
  const findings = page.getByRole('region', { name: 'Findings' });
  await expect(admin.fact(findings, 'records to learn from')).toHaveText(/^[1-9]\d*$/);
  await expect(admin.fact(findings, 'Memory')).toHaveText(/\d+.* [KMG]B$/);
  await expect(findings.getByRole('list', { name: 'Samples' }).getByRole('listitem').first()).not.toBeEmpty();
  // What was checked is no longer what is there.
  await form.getByRole('spinbutton', { name: /^Steps\s*Steps of/ }).fill('61');
  await expect(findings).toHaveCount(0);
  await expect(form.getByRole('button', { name: 'Start' })).toBeDisabled();

  await start(page, admin, school, 60, 'Eyes');
  await isAtWork(admin, 60);
  await button(page, 'Stop').click();
  await expect(state(admin)).toHaveText('stopped');
  expect(await steps(admin)).toBeLessThan(60);
  await button(page, 'Resume').click();
  await expect(state(admin)).toHaveText('finished', { timeout: 180_000 });
  expect(await steps(admin)).toBe(60);
  const loss = /^Loss \(nats\) over steps/;
  const [early, late] = await ends(page, loss, 'Held out');
  expect(late).toBeLessThan(early);
  expect((await ends(page, loss, 'Learned from')).every(Number.isFinite)).toBe(true);
  for (const chart of [/^Learning rate over steps/, /^Gradient norm over steps/, /^Speed \(positions\/s\) over steps/]) {
    await expect(page.getByRole('img', { name: chart })).toBeVisible();
  }
  await expect(page.getByRole('region', { name: 'Checkpoints' }).getByRole('row')).not.toHaveCount(0);
  const product = page.getByRole('list', { name: 'Products' }).getByRole('listitem').filter({ hasText: 'projector' });
  const [hash] = /[0-9a-f]{64}/.exec(await product.innerText())!;

  await button(page, 'Load beside the serving model').click();
  await expect(admin.title('Models')).toBeFocused();
  const candidate = page.getByRole('article', { name: /^Candidate/ });
  await expect(candidate).toContainText(hash);
  await candidate.getByRole('button', { name: 'Try' }).click();
  const chat = new Chat(page, school.server.url);
  await chat.show();
  await expect(chat.attached()).toContainText('49 positions');
  await page.getByRole('textbox', { name: 'Question' }).fill('What do you see?');
  await button(page, 'Ask both').click();
  for (const side of ['Serving', 'Candidate']) {
    await expect(admin.fact(admin.part(side), 'Whole answer after')).toBeVisible({ timeout: 60_000 });
  }
  const answeredBy = (side: string) => admin.fact(admin.part(side), 'Generation').innerText();
  expect(await answeredBy('Candidate')).not.toBe(await answeredBy('Serving'));

  await candidate.getByRole('button', { name: 'Promote' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Promote' }).click();
  await expect(candidate).toHaveCount(0);
  const serving = admin.part('Generations').locator('dl').first();
  await expect(serving).toContainText(hash);

  await chat.open();
  await chat.show();
  await chat.ask('What do you see?');
  await chat.answered();
  await expect(await chat.details()).toContainText(hash.slice(0, 12));

  await admin.open('/admin/models');
  await button(page, 'Roll back').click();
  await expect(serving).not.toContainText(hash);
});

test('neither a killed server nor a killed job loses what was done', async ({ page, school, admin }) => {
  await start(page, admin, school, 200, 'Killed');
  await isAtWork(admin, 200);
  const address = page.url();
  await school.server.kill();
  await school.server.start();
  await page.goto(address);
  await admin.bring(await school.server.adminToken());
  await expect(admin.title('Killed')).toBeVisible();
  // The work outlives the server, which finds it again.
  await isAtWork(admin, 200);

  const jobs = (await (await page.request.get(`${school.server.url}/api/admin/jobs`)).json()) as { process: number }[];
  process.kill(jobs[0]!.process, 'SIGKILL');
  await expect(state(admin)).toHaveText('interrupted');
  await button(page, 'Resume').click();
  await isAtWork(admin, 200);
  await button(page, 'Stop').click();
  await expect(state(admin)).toHaveText('stopped');

  await button(page, 'Delete').click();
  await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click();
  await expect(state(admin)).toHaveText('stopped');
  await button(page, 'Delete').click();
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
  await expect(admin.title('Training')).toBeFocused();
  await expect(admin.part('Jobs')).toContainText('No job was started yet.');
});

test('several jobs are compared in one chart, whose values are a table too', async ({ page, school, admin }) => {
  for (const title of ['First', 'Second']) {
    await start(page, admin, school, 20, title);
    await expect(state(admin)).toHaveText('finished', { timeout: 120_000 });
  }
  await admin.go('Training');
  const comparison = admin.part('Comparison');
  for (const title of ['First', 'Second']) await page.getByRole('checkbox', { name: `Compare ${title}` }).check();
  const chart = comparison.getByRole('img', { name: /^On what is held out over steps/ });
  await expect(chart).toHaveAccessibleName(/First .*at step 20.*Second .*at step 20|Second .*at step 20.*First .*at step 20/);
  await comparison.getByText(/^As a table/).first().click();
  await expect(comparison.getByRole('table').getByRole('row', { name: /^20 / })).toHaveText(/^20\d+\.\d+/);
  await page.getByRole('checkbox', { name: 'Compare First' }).uncheck();
  await expect(chart).not.toHaveAccessibleName(/First/);
});

test('what cannot be started says why', async ({ page, school, admin }) => {
  await admin.go('Training');
  const form = await fill(page, school, 10);
  await form.getByRole('combobox', { name: /^Language model/ }).fill('no-such-model');
  await form.getByRole('button', { name: 'Check' }).click();
  await expect(page.getByRole('region', { name: 'Findings' })).toContainText('no-such-model');
  await expect(form.getByRole('button', { name: 'Start' })).toBeDisabled();
});

test('the keyboard is enough to train', async ({ page, school, admin }) => {
  await tabTo(page, admin.navigation.getByRole('link', { name: 'Training' }), 'Shift+Tab');
  await page.keyboard.press('Enter');
  await expect(admin.title('Training')).toBeFocused();
  const form = page.getByRole('form', { name: 'Train a projector' });
  const recipe = form.getByRole('combobox', { name: /^Recipe/ });
  await tabTo(page, recipe);
  // People's own recipes come last.
  await page.keyboard.press('End');
  await expect(recipe).toHaveValue(school.recipe);
  await tabTo(page, form.getByRole('textbox', { name: 'Title' }));
  await page.keyboard.type('By hand');
  await page.keyboard.press('Enter');
  const start = form.getByRole('button', { name: 'Start' });
  await expect(start).toBeEnabled();
  await tabTo(page, start);
  await page.keyboard.press('Enter');
  await expect(admin.title('By hand')).toBeFocused();
  await expect(button(page, 'Stop')).toBeVisible();
  await tabTo(page, button(page, 'Stop'));
  await page.keyboard.press('Enter');
  await expect(state(admin)).toHaveText('stopped', { timeout: 60_000 });
});

for (const colorScheme of ['light', 'dark'] as const) {
  for (const width of [320, 1440]) {
    test(`training has nothing serious for axe and fits: ${colorScheme}, ${width} px`, async ({ page, school, admin }) => {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height: 800 });
      await admin.go('Training');
      const form = await fill(page, school, 20);
      await form.getByRole('button', { name: 'Check' }).click();
      await expect(page.getByRole('region', { name: 'Findings' })).toBeVisible();
      await isInOrder(page);
      await start(page, admin, school, 20, 'Checked');
      await expect(state(admin)).toHaveText('finished', { timeout: 120_000 });
      await page.getByText('Log', { exact: true }).click();
      await page.getByText(/^As a table/).first().click();
      await isInOrder(page);
      await button(page, 'Load beside the serving model').click();
      await page.getByRole('article', { name: /^Candidate/ }).getByRole('button', { name: 'Try' }).click();
      await expect(page.getByRole('textbox', { name: 'Question' })).toBeVisible();
      await isInOrder(page);
    });
  }
}
