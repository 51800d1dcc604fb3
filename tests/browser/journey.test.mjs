// Password resets in a real browser.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ADA, GOOD_PASSWORD, WEAK_PASSWORD, openPage, startBrowser, startSystem, until } from './kit.mjs';

let system, browser;
before(async () => {
  [system, browser] = await Promise.all([startSystem(), startBrowser()]);
});
after(async () => {
  await browser.close();
  await system.stop();
});

const submit = page => page.click('#choose button:not(#show)');
const title = page => page.locator('h1:visible').textContent();
const epoch = async () => Number((await system.user()).session_epoch.N);

test('a password is reset through the inbox', async () => {
  const page = await openPage(browser);
  await page.goto(system.forgotUrl);
  await page.fill('#email', ADA);
  await page.click('main button');
  assert.equal(await title(page), 'Look at your inbox');

  await page.goto(system.inboxUrl);
  const link = page.locator('article .text a').first();
  const [tab] = await Promise.all([page.context().waitForEvent('page'), link.click()]);
  await tab.waitForLoadState();
  assert.equal(await title(tab), 'Set a new password');
  assert.equal(await tab.inputValue('#email'), ADA);
  await tab.fill('#password', GOOD_PASSWORD);
  await submit(tab);
  assert.equal(await title(tab), 'Your password is set');

  // The inbox refreshes itself to show the notice.
  await page.locator('article h2', { hasText: 'was changed' }).waitFor();
  assert.deepEqual(page.problems, []);
});

test('the link in the HTML part works too', async () => {
  await system.requestLink();
  const page = await openPage(browser);
  await page.goto(system.inboxUrl);
  const link = page.frameLocator('article iframe').first().getByRole('link', { name: 'Set a new password' }).first();
  const [tab] = await Promise.all([page.context().waitForEvent('page'), link.click()]);
  await tab.waitForLoadState();
  assert.equal(await title(tab), 'Set a new password');
});

test('without JavaScript, the code from the email sets a password', async () => {
  const { code } = await system.requestLink();
  const before = await epoch();
  const page = await openPage(browser, { javaScriptEnabled: false });
  await page.goto(system.changeUrl);
  await page.fill('#code', `  ${code} `);
  await page.fill('#password', WEAK_PASSWORD);
  await submit(page);
  assert.match(await page.textContent('#password-errors'), /easy to guess/);
  assert.equal(await page.inputValue('#password'), '', 'a password is never sent back');
  assert.equal(await page.locator('#paste').count(), 0, 'the code is kept');
  await page.fill('#password', `${GOOD_PASSWORD} one`);
  await submit(page);
  assert.equal(await title(page), 'Your password is set');
  assert.equal(await epoch(), before + 1);
});

test('without JavaScript, an email can be requested', async () => {
  const page = await openPage(browser, { javaScriptEnabled: false });
  await page.goto(system.forgotUrl);
  await page.fill('#email', 'nobody@example.com');
  await page.click('main button');
  assert.equal(await title(page), 'Look at your inbox');
});

test('an email scanner that opens the link does not use it up', async () => {
  const { link, code } = await system.requestLink();
  assert.equal((await fetch(link, { method: 'HEAD' })).status, 200);
  for (let i = 0; i < 5; i++) assert.equal((await fetch(link)).status, 200);
  const scanner = await openPage(browser);
  await scanner.goto(link);
  const body = new URLSearchParams({ forgot_password_hash: code, new_password: `${GOOD_PASSWORD} two` });
  assert.equal((await fetch(system.changeUrl, { method: 'POST', body })).status, 200);
});

test('the token is removed from the address bar and is in no requested URL', async () => {
  const { link, code } = await system.requestLink();
  const page = await openPage(browser);
  await page.goto(link);
  assert.equal(page.url(), system.changeUrl);
  await page.fill('#password', `${GOOD_PASSWORD} three`);
  await submit(page);
  assert.equal(await title(page), 'Your password is set');
  assert.deepEqual(page.requests.filter(request => request.includes(code)), []);
  await page.goBack();
  assert.ok(!page.url().includes(code), 'the token is in the history');
});

test('a page takes one request, and checking the link one more', async () => {
  const page = await openPage(browser);
  await page.goto(system.forgotUrl, { waitUntil: 'networkidle' });
  assert.deepEqual(page.requests, [`GET ${system.forgotUrl}`]);
  const { link } = await system.requestLink();
  const other = await openPage(browser);
  await other.goto(link, { waitUntil: 'networkidle' });
  assert.deepEqual(other.requests, [`GET ${system.changeUrl}`, `POST ${system.changeUrl}`]);
});

test('advice while typing comes from the server', async () => {
  const { link } = await system.requestLink();
  const page = await openPage(browser);
  await page.goto(link);
  const feedback = text => page.locator('#feedback', { hasText: text }).waitFor();
  await page.fill('#password', 'short');
  await feedback('5 of at least 15 characters');
  // Counted after normalisation: e and a combining accent are one character.
  await page.fill('#password', 'e\u0301');
  await feedback('1 of at least 15 characters');
  await page.fill('#password', WEAK_PASSWORD);
  await feedback('easy to guess');
  await page.fill('#password', `${ADA} ${ADA}`);
  await feedback('built on your name or address');
  await page.fill('#password', `${GOOD_PASSWORD} four`);
  await feedback('This password is good.');
  assert.deepEqual(page.problems, []);
});

test('a refused password is explained at its field, which gets the focus', async () => {
  const { link } = await system.requestLink();
  const page = await openPage(browser);
  await page.goto(link);
  await page.fill('#password', WEAK_PASSWORD);
  const [response] = await Promise.all([page.waitForNavigation(), submit(page)]);
  assert.equal(response.status(), 422);
  assert.match(await page.title(), /^Error: /);
  assert.equal(await page.evaluate(() => document.activeElement.id), 'password');
  assert.equal(await page.getAttribute('#password', 'aria-invalid'), 'true');
  const described = (await page.getAttribute('#password', 'aria-describedby')).split(' ');
  assert.ok(described.includes('password-errors'));
  assert.equal(await page.inputValue('#email'), ADA);
});

test('the password can be shown, and password managers find their fields', async () => {
  const { link } = await system.requestLink();
  const page = await openPage(browser);
  await page.goto(link);
  assert.equal(await page.getAttribute('#password', 'autocomplete'), 'new-password');
  assert.equal(await page.getAttribute('#email', 'autocomplete'), 'username');
  await page.click('#show');
  assert.equal(await page.getAttribute('#password', 'type'), 'text');
  await page.click('#show');
  assert.equal(await page.getAttribute('#password', 'type'), 'password');
});

test('a double click sets the password once and shows success', async () => {
  const { link } = await system.requestLink();
  const before = await epoch();
  const page = await openPage(browser);
  await page.goto(link);
  await page.fill('#password', `${GOOD_PASSWORD} five`);
  await page.dblclick('#choose button:not(#show)');
  await page.locator('h1', { hasText: 'Your password is set' }).waitFor();
  assert.equal(await epoch(), before + 1);
});

test('going back and forward changes nothing', async () => {
  const { link } = await system.requestLink();
  const page = await openPage(browser);
  await page.goto(link);
  await page.fill('#password', `${GOOD_PASSWORD} six`);
  await submit(page);
  assert.equal(await title(page), 'Your password is set');
  const before = await epoch();
  await page.goBack();
  await page.goForward().catch(() => {});
  assert.equal(await epoch(), before);
});

test('a used link is reported at once, with a form for a new one', async () => {
  const { link, code } = await system.requestLink();
  const body = new URLSearchParams({ forgot_password_hash: code, new_password: `${GOOD_PASSWORD} seven` });
  await fetch(system.changeUrl, { method: 'POST', body });
  const page = await openPage(browser);
  await page.goto(link);
  await page.locator('#dead h1').waitFor();
  assert.equal(await title(page), 'This link no longer works');
  assert.equal(await page.inputValue('#again'), ADA);
  await system.linkAfter(() => page.click('#dead button'));
  assert.equal(await title(page), 'Look at your inbox');
});

test('an expired link is refused, even without JavaScript', async () => {
  const { link, code } = await system.requestLink();
  await system.expireLinks();
  const page = await openPage(browser);
  await page.goto(link);
  await page.locator('#dead h1').waitFor();
  const plain = await openPage(browser, { javaScriptEnabled: false });
  await plain.goto(system.changeUrl);
  await plain.fill('#code', code);
  await plain.fill('#password', GOOD_PASSWORD);
  const [response] = await Promise.all([plain.waitForNavigation(), submit(plain)]);
  assert.equal(response.status(), 400);
  assert.equal(await title(plain), 'This link no longer works');
});

test('an invalid address is kept and explained', async () => {
  const page = await openPage(browser);
  await page.goto(system.forgotUrl);
  await page.fill('#email', 'ada at example');
  const [response] = await Promise.all([page.waitForNavigation(), page.click('main button')]);
  assert.equal(response.status(), 400);
  assert.equal(await page.inputValue('#email'), 'ada at example');
  assert.match(await page.textContent('#email-error'), /ada@example\.com/);
  assert.equal(await page.evaluate(() => document.activeElement.id), 'email');
});

test('the language follows the browser and can be changed without losing the link', async () => {
  const { link } = await system.requestLink();
  const page = await openPage(browser, { locale: 'de-DE' });
  await page.goto(link);
  assert.equal(await page.getAttribute('html', 'lang'), 'de');
  await page.click('nav a[lang=ar]');
  await page.waitForURL(/lang=ar$/);
  assert.equal(await page.getAttribute('html', 'dir'), 'rtl');
  assert.equal(await page.inputValue('#email'), ADA);
  await page.fill('#password', WEAK_PASSWORD);
  await submit(page);
  assert.equal(await page.getAttribute('html', 'lang'), 'ar', 'the response has the chosen language');
});

test('the keyboard is sufficient', async () => {
  const { link } = await system.requestLink();
  const page = await openPage(browser);
  await page.goto(link);
  const focused = () => page.evaluate(() => document.activeElement.id);
  const passed = [];
  while ((await focused()) !== 'password' && passed.length < 5) {
    await page.keyboard.press('Tab');
    passed.push(await focused());
  }
  assert.deepEqual(passed, ['email', 'password']);
  await page.keyboard.type(`${GOOD_PASSWORD} eight`);
  await page.keyboard.press('Enter');
  assert.equal(await until(() => title(page).catch(() => false), 'the next page'), 'Your password is set');
});

test('/.well-known/change-password redirects to the page', async () => {
  const page = await openPage(browser);
  await page.goto(`${system.url}/.well-known/change-password`);
  assert.equal(page.url(), system.forgotUrl);
});
