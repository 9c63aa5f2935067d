import AxeBuilder from '@axe-core/playwright';
import { expect, test } from '../fixtures.js';

for (const colorScheme of ['light', 'dark'] as const) {
  for (const width of [320, 768, 1440]) {
    test(`nothing serious for axe: ${colorScheme}, ${width} px`, async ({ chat, page }) => {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height: 800 });
      await chat.ask('What is the capital of France?');
      await chat.answered();
      await chat.input('Show a picture').click();
      const { violations } = await new AxeBuilder({ page }).analyze();
      const serious = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
      expect(serious.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)])).toEqual([]);
    });
  }
}

test('a narrow screen shows everything without sideways scrolling', async ({ chat, page }) => {
  await page.setViewportSize({ width: 320, height: 640 });
  await chat.ask('Name three colours in a list.');
  await chat.answered();
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  expect(overflow).toBe(0);
  await expect(chat.message).toBeInViewport();
  await expect(chat.send).toBeInViewport();
});

test('the keyboard is enough', async ({ chat, page }) => {
  await chat.message.focus();
  await page.keyboard.type('What is the capital of France?');
  await page.keyboard.press('Enter');
  await chat.answered();
  await expect(chat.answer()).toContainText('Paris');
  await page.keyboard.press('Shift+Tab');
  await expect(page.locator(':focus')).toBeVisible();
});

test('every sentence of an answer is announced', async ({ chat, page }) => {
  const region = page.locator('[aria-live=polite]');
  // A sentence makes way for the next one; screen readers speak each.
  const heard = await region.evaluateHandle((element) => {
    const texts: string[] = [];
    const note = () => texts.push(element.textContent);
    new MutationObserver(note).observe(element, { childList: true, characterData: true, subtree: true });
    return texts;
  });
  await chat.ask('What is the capital of France?');
  await chat.answered();
  // Visible to screen readers too: what is not drawn at all is not spoken.
  await expect(region).toBeVisible();
  await expect.poll(() => heard.evaluate((texts) => texts.join(' '))).toContain(await chat.text().innerText());
});

test('nothing moves for people who asked for less motion', async ({ chat, page }) => {
  // Looked at in every frame from the question to the end of its answer: how many elements moved at most.
  const moving = () =>
    page.evaluate(async () => {
      const styled = () => {
        const elements = [...document.querySelectorAll('*')];
        const styles = elements.flatMap((element) => [undefined, '::before', '::after'].map((part) => getComputedStyle(element, part)));
        return styles.filter((style) => /[1-9]/.test(style.animationDuration + style.transitionDuration)).length;
      };
      const frame = () => new Promise(requestAnimationFrame);
      const isAnswering = () => document.querySelector('button[aria-label="Stop"]') !== null;
      let most = 0;
      while (!isAnswering()) await frame();
      for (; isAnswering(); await frame()) most = Math.max(most, styled(), document.getAnimations().length);
      return most;
    });
  const asked = async (reducedMotion: 'reduce' | 'no-preference') => {
    await page.emulateMedia({ reducedMotion });
    const most = moving();
    await chat.ask('Write a long story about a lighthouse keeper and the sea.');
    return most;
  };
  expect(await asked('no-preference')).toBeGreaterThan(0);
  expect(await asked('reduce')).toBe(0);
});
