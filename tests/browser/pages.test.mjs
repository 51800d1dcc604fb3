// Accessibility, layout and size of every page and both emails.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { GOOD_PASSWORD, accessibilityProblems, openPage, startBrowser, startSystem } from './kit.mjs';
import { everyPage } from './visits.mjs';

const MAX_COMPRESSED_BYTES = 20 * 1024;

let system, browser;
before(async () => {
  [system, browser] = await Promise.all([startSystem({ SUPPORT_URL: 'https://help.example.com/' }), startBrowser()]);
});
after(async () => {
  await browser.close();
  await system.stop();
});

for (const colorScheme of ['light', 'dark']) {
  for (const locale of ['en-US', 'ar']) {
    test(`axe-core finds no problem, ${colorScheme}, ${locale}`, async () => {
      const page = await openPage(browser, { colorScheme, locale });
      for await (const name of everyPage(system, page)) {
        const isEmail = name.startsWith('email-');
        assert.deepEqual(await accessibilityProblems(page, { isEmail }), [], name);
      }
      assert.deepEqual(page.problems, []);
    });
  }
}

test('no page is wider than 320 pixels, which equals a zoom of 400%', async () => {
  for (const locale of ['en-US', 'de-DE', 'ar']) {
    const page = await openPage(browser, { viewport: { width: 320, height: 256 }, locale });
    for await (const name of everyPage(system, page)) {
      const width = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(width <= 320, `${name} in ${locale} is ${width} pixels wide`);
    }
  }
});

test('every control is large enough to touch', async () => {
  const page = await openPage(browser, { viewport: { width: 360, height: 640 }, hasTouch: true });
  for await (const name of everyPage(system, page, { withEmails: false })) {
    const small = await page.evaluate(() => [...document.querySelectorAll('main button, main input, nav a')]
      .filter(element => element.getClientRects().length)
      .filter(element => element.getBoundingClientRect().height < 24)
      .map(element => element.outerHTML));
    assert.deepEqual(small, [], name);
  }
});

test('a page is smaller than 20 KiB compressed', async context => {
  for (const url of [system.forgotUrl, system.changeUrl]) {
    const html = await (await fetch(url)).text();
    const bytes = gzipSync(html).length;
    context.diagnostic(`${new URL(url).pathname}: ${html.length} bytes, ${bytes} compressed`);
    assert.ok(bytes < MAX_COMPRESSED_BYTES);
  }
});

test('the new-password page is usable as soon as it has loaded', async context => {
  const { link } = await system.requestLink();
  const page = await openPage(browser);
  await page.goto(link);
  await page.fill('#password', GOOD_PASSWORD);
  const timing = await page.evaluate(() => performance.getEntriesByType('navigation')[0].toJSON());
  context.diagnostic(`interactive ${timing.domInteractive.toFixed(0)} ms, loaded ${timing.loadEventEnd.toFixed(0)} ms`);
});
