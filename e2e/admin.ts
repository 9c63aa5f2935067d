import AxeBuilder from '@axe-core/playwright';
import { expect, type Locator, type Page } from '@playwright/test';
import type { Server } from './server.js';

/** Administration as an operator uses it: by roles and names. */
export class Admin {
  readonly token: Locator;
  readonly signInButton: Locator;
  readonly signOutButton: Locator;
  readonly navigation: Locator;

  constructor(
    readonly page: Page,
    private readonly server: Server,
  ) {
    this.token = page.getByLabel('Admin token');
    this.signInButton = page.getByRole('button', { name: 'Sign in' });
    this.signOutButton = page.getByRole('button', { name: 'Sign out' });
    this.navigation = page.getByRole('navigation', { name: 'Administration' });
  }

  async open(path = '/admin'): Promise<void> {
    await this.page.goto(`${this.server.url}${path}`);
    await expect(this.page.getByRole('heading', { level: 1 })).toBeVisible();
  }

  /** Signs in with a token of its own. */
  async signIn(): Promise<void> {
    await this.open();
    await this.bring(await this.server.adminToken());
    await expect(this.signOutButton).toBeVisible();
  }

  async bring(token: string): Promise<void> {
    await this.token.fill(token);
    await this.signInButton.click();
  }

  /** Goes to a page by the navigation. */
  async go(name: 'Models' | 'Training' | 'Plugins'): Promise<void> {
    await this.navigation.getByRole('link', { name }).click();
    await expect(this.title(name)).toBeFocused();
  }

  title(name: string): Locator {
    return this.page.getByRole('heading', { level: 1, name, exact: true });
  }

  /** A part of a page, by its heading. */
  part(name: string): Locator {
    return this.page.getByRole('region', { name, exact: true });
  }

  /** What a part or a card says under a name. */
  fact(within: Locator, name: string): Locator {
    return within.locator('dl > div').filter({ has: this.page.getByText(name, { exact: true }) }).getByRole('definition');
  }
}

/** Nothing serious for axe, and nothing to scroll sideways. */
export async function isInOrder(page: Page): Promise<void> {
  const { violations } = await new AxeBuilder({ page }).analyze();
  const serious = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
  expect(serious.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)])).toEqual([]);
  const overflow = await page.evaluate(() => {
    const boxes = [document.documentElement, ...document.querySelectorAll('.admin, .admin-door')];
    return Math.max(...boxes.map((box) => box.scrollWidth - box.clientWidth));
  });
  expect(overflow).toBe(0);
}

/** Goes to something with the keyboard alone. */
export async function tabTo(page: Page, target: Locator, key = 'Tab', most = 12): Promise<void> {
  const isThere = () => target.evaluate((element) => element === document.activeElement);
  for (let steps = 0; steps < most && !(await isThere()); steps++) await page.keyboard.press(key);
  await expect(target).toBeFocused();
}
