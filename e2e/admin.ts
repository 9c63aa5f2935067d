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
