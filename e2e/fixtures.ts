import { expect, test as base, type Browser, type Locator, type Page } from '@playwright/test';
import { browser, type Devices } from './browser.js';
import { Server } from './server.js';

/** A conversation as the API gives it: what the tests look at. */
export interface Stored {
  messages: { id: string; parts: { text?: string; blob?: { hash: string; mime: string } }[] }[];
}

/** The page as a person uses it: by roles and names. */
export class Chat {
  readonly message: Locator;
  readonly send: Locator;
  readonly stop: Locator;
  readonly thread: Locator;

  constructor(
    readonly page: Page,
    private readonly url: string,
  ) {
    this.message = page.getByRole('textbox', { name: 'Message' });
    this.send = page.getByRole('button', { name: 'Send', exact: true });
    this.stop = page.getByRole('button', { name: 'Stop', exact: true });
    this.thread = page.getByRole('log');
  }

  async open(): Promise<void> {
    await this.page.goto(this.url);
    await expect(this.message).toBeVisible();
  }

  async ask(text: string): Promise<void> {
    await this.message.fill(text);
    await this.send.click();
  }

  /** Asks, and tells how long the answer's text was in the frames in which it grew: an answer may be over within a second. */
  async growth(question: string): Promise<number[]> {
    const lengths = this.page.evaluate(async () => {
      const frame = () => new Promise(requestAnimationFrame);
      const isGrowing = () => document.querySelector('button[aria-label="Stop"]') !== null;
      const length = () => [...document.querySelectorAll('[role="log"] .rich')].at(-1)?.textContent?.length ?? 0;
      const seen = new Set<number>();
      while (!isGrowing()) await frame();
      for (; isGrowing(); await frame()) seen.add(length());
      return [...seen].filter((length) => length > 0);
    });
    await this.ask(question);
    return lengths;
  }

  /** The newest answer. */
  answer(): Locator {
    return this.thread.getByRole('article', { name: /answer/i }).last();
  }

  /** The newest question. */
  question(): Locator {
    return this.thread.getByRole('article', { name: /question/i }).last();
  }

  /** Waits until the newest answer is whole. */
  async answered(): Promise<Locator> {
    await expect(this.answer()).toBeVisible();
    await expect(this.stop).toBeHidden({ timeout: 60_000 });
    await expect(this.answer()).not.toBeEmpty();
    return this.answer();
  }

  /** The button of an input, by its plugin's label. */
  input(label: string): Locator {
    return this.page.getByRole('group', { name: 'Inputs' }).getByRole('button', { name: label });
  }

  /** Opens the details of the newest answer and returns them. */
  async details(): Promise<Locator> {
    const details = this.answer().getByRole('group').filter({ hasText: 'Positions in all' });
    await this.answer().getByLabel(/^Details/).click();
    return details;
  }

  /** What is attached and not sent yet. */
  attached(): Locator {
    return this.page.getByRole('list', { name: 'Attached' });
  }

  /** Takes a picture with the camera and attaches it. */
  async show(): Promise<void> {
    await this.input('Show a picture').click();
    await this.page.getByRole('button', { name: 'Capture' }).click();
    await this.page.getByRole('button', { name: 'Use', exact: true }).click();
  }

  /** Records what the fake microphone says: a second of quiet, words, and quiet again. Returns the field of what was heard. */
  async speak(seconds = 4.5): Promise<Locator> {
    await this.input('Speak').click();
    await this.page.getByRole('button', { name: 'Record', exact: true }).click();
    await expect(this.page.getByRole('meter', { name: 'Level' })).toBeVisible();
    await this.page.waitForTimeout(seconds * 1_000);
    await this.page.getByRole('button', { name: 'Stop recording' }).click();
    return this.page.getByRole('textbox', { name: 'Speech: text' });
  }

  /** The shown conversation as the server has stored it. */
  async stored(): Promise<Stored> {
    await this.page.waitForURL('**/c/*');
    const path = new URL(this.page.url()).pathname.replace('/c/', '/api/conversations/');
    return (await (await fetch(`${this.url}${path}`)).json()) as Stored;
  }

  /** The text of the newest answer as the server has stored it. */
  async storedText(): Promise<string> {
    const { messages } = await this.stored();
    return messages.at(-1)!.parts.map((part) => part.text ?? '').join('');
  }

  /** The text of the newest answer. */
  text(): Locator {
    return this.answer().locator('.rich');
  }
}

interface Fixtures {
  chat: Chat;
  /** Opens the page in a browser of its own, whose devices show and say something else: they are fixed when it starts. */
  chatWith: (devices: Devices) => Promise<Chat>;
}

export const test = base.extend<Fixtures, { server: Server }>({
  server: [
    async ({}, use) => {
      const server = await Server.create();
      await use(server);
      await server.remove();
    },
    { scope: 'worker' },
  ],
  chat: async ({ page, server }, use) => {
    const chat = new Chat(page, server.url);
    await chat.open();
    await use(chat);
  },
  chatWith: async ({ playwright, server }, use) => {
    const opened: Browser[] = [];
    await use(async (devices) => {
      const { launchOptions, permissions } = browser(devices);
      const own = await playwright.chromium.launch(launchOptions);
      opened.push(own);
      const chat = new Chat(await own.newPage({ permissions }), server.url);
      await chat.open();
      return chat;
    });
    for (const own of opened) await own.close();
  },
});

export { expect };
