// The JavaScript recipe in docs/recipes.md, on a page of another origin.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { ADA, GOOD_PASSWORD, WEAK_PASSWORD, openPage, startBrowser, startSystem } from './kit.mjs';

const [, RECIPE] = readFileSync(new URL('../../docs/recipes.md', import.meta.url), 'utf8').match(/^```js\n(.*?)^```/ms);

let site, origin, system, browser;
before(async () => {
  site = createServer((_, response) => {
    response.setHeader('content-type', 'text/html');
    response.end(`<!doctype html><title>Site</title><link rel="icon" href="data:,"><script>${RECIPE}</script>`);
  }).listen(0, '127.0.0.1');
  await once(site, 'listening');
  origin = `http://127.0.0.1:${site.address().port}`;
  [system, browser] = await Promise.all([
    startSystem({ CORS_ORIGINS: origin, RESET_URL: `${origin}/new-password` }),
    startBrowser(),
  ]);
});
after(async () => {
  await browser.close();
  await system.stop();
  site.close();
});

/** Sets a password with the recipe and returns `worked` or the error. */
const change = (page, token, password) =>
  page.evaluate(
    ([api, token, password]) =>
      changeForgottenPassword(api, token, password).then(
        () => 'worked',
        ({ code, message, reasons }) => ({ code, message, reasons: reasons.map(reason => reason.code) }),
      ),
    [system.url, token, password],
  );

test('a page of a listed origin requests an email and sets the new password', async () => {
  const page = await openPage(browser);
  await page.goto(origin);
  const { link } = await system.linkAfter(() => page.evaluate(([api, email]) => forgotPassword(api, email), [system.url, ADA]));
  assert.ok(link.startsWith(`${origin}/new-password#`), link);

  await page.goto(link);
  const token = await page.evaluate(() => takeToken());
  assert.equal(page.url(), `${origin}/new-password`);
  assert.equal(token, link.split('token=')[1]);

  const refused = await change(page, token, WEAK_PASSWORD);
  assert.equal(refused.code, 'weak_password');
  assert.deepEqual(refused.reasons, ['too_guessable']);
  assert.match(refused.message, /^This password is easy to guess\./);
  assert.equal(await change(page, token, GOOD_PASSWORD), 'worked');
  assert.equal((await change(page, token, GOOD_PASSWORD)).code, 'invalid_token');
  assert.deepEqual(page.problems, []);
});

test('a page of an unlisted origin is refused', async () => {
  const page = await openPage(browser);
  await page.goto(origin.replace('127.0.0.1', 'localhost'));
  await assert.rejects(page.evaluate(([api, email]) => forgotPassword(api, email), [system.url, ADA]), /Failed to fetch/);
});
