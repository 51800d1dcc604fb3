// A reset as a person lives it, in a real browser.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ADA, GOOD, WEAK, openPage, startBrowser, startSystem, until } from './kit.mjs';

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
const epoch = async () => Number((await system.account()).session_epoch.N);

test('from "I forgot" to "done", through the inbox', async () => {
  const page = await openPage(browser);
  await page.goto(system.ask);
  await page.fill('#email', ADA);
  await page.click('main button');
  assert.equal(await title(page), 'Look at your inbox');

  await page.goto(system.inbox);
  const link = page.locator('article .text a').first();
  const [tab] = await Promise.all([page.context().waitForEvent('page'), link.click()]);
  await tab.waitForLoadState();
  assert.equal(await title(tab), 'Set a new password');
  assert.equal(await tab.inputValue('#email'), ADA);
  await tab.fill('#password', GOOD);
  await submit(tab);
  assert.equal(await title(tab), 'Your password is set');

  // The inbox shows the notice by itself.
  await page.locator('article h2', { hasText: 'was changed' }).waitFor();
  assert.deepEqual(page.problems, []);
});

test('the link in the HTML part of the mail works too', async () => {
  await system.newLink();
  const page = await openPage(browser);
  await page.goto(system.inbox);
  const link = page.frameLocator('article iframe').first().getByRole('link', { name: 'Set a new password' }).first();
  const [tab] = await Promise.all([page.context().waitForEvent('page'), link.click()]);
  await tab.waitForLoadState();
  assert.equal(await title(tab), 'Set a new password');
});

test('without JavaScript, by the code from the mail', async () => {
  const { code } = await system.newLink();
  const before = await epoch();
  const page = await openPage(browser, { javaScriptEnabled: false });
  await page.goto(system.choose);
  await page.fill('#code', `  ${code} `);
  await page.fill('#password', WEAK);
  await submit(page);
  assert.match(await page.textContent('#password-errors'), /easy to guess/);
  assert.equal(await page.inputValue('#password'), '', 'a password is never sent back');
  assert.equal(await page.locator('#paste').count(), 0, 'the code is kept');
  await page.fill('#password', `${GOOD} one`);
  await submit(page);
  assert.equal(await title(page), 'Your password is set');
  assert.equal(await epoch(), before + 1);
});

test('without JavaScript, asking for the mail', async () => {
  const page = await openPage(browser, { javaScriptEnabled: false });
  await page.goto(system.ask);
  await page.fill('#email', 'nobody@example.com');
  await page.click('main button');
  assert.equal(await title(page), 'Look at your inbox');
});

test('a mail scanner that opens the link first does not spend it', async () => {
  const { link, code } = await system.newLink();
  assert.equal((await fetch(link, { method: 'HEAD' })).status, 200);
  for (let i = 0; i < 5; i++) assert.equal((await fetch(link)).status, 200);
  const scanner = await openPage(browser);
  await scanner.goto(link);
  const body = new URLSearchParams({ forgot_password_hash: code, new_password: `${GOOD} two` });
  assert.equal((await fetch(system.choose, { method: 'POST', body })).status, 200);
});

test('the token leaves the address bar at once and is in no URL that is asked for', async () => {
  const { link, code } = await system.newLink();
  const page = await openPage(browser);
  await page.goto(link);
  assert.equal(page.url(), system.choose);
  await page.fill('#password', `${GOOD} three`);
  await submit(page);
  assert.equal(await title(page), 'Your password is set');
  assert.deepEqual(page.requests.filter(request => request.includes(code)), []);
  await page.goBack();
  assert.ok(!page.url().includes(code), 'nor does the history have it');
});

test('a page is one request, and the link is checked with one more', async () => {
  const page = await openPage(browser);
  await page.goto(system.ask, { waitUntil: 'networkidle' });
  assert.deepEqual(page.requests, [`GET ${system.ask}`]);
  const { link } = await system.newLink();
  const other = await openPage(browser);
  await other.goto(link, { waitUntil: 'networkidle' });
  assert.deepEqual(other.requests, [`GET ${system.choose}`, `POST ${system.choose}`]);
});

test('advice while typing is what the server says', async () => {
  const { link } = await system.newLink();
  const page = await openPage(browser);
  await page.goto(link);
  const says = text => page.locator('#feedback', { hasText: text }).waitFor();
  await page.fill('#password', 'short');
  await says('5 of at least 15 characters');
  // Counted after normalisation: e and a combining accent are one character.
  await page.fill('#password', 'e\u0301');
  await says('1 of at least 15 characters');
  await page.fill('#password', WEAK);
  await says('easy to guess');
  await page.fill('#password', `${ADA} ${ADA}`);
  await says('built on your name or address');
  await page.fill('#password', `${GOOD} four`);
  await says('This password is good.');
  assert.deepEqual(page.problems, []);
});

test('a refused password is explained beside its field, which has the focus', async () => {
  const { link } = await system.newLink();
  const page = await openPage(browser);
  await page.goto(link);
  await page.fill('#password', WEAK);
  const [answer] = await Promise.all([page.waitForNavigation(), submit(page)]);
  assert.equal(answer.status(), 422);
  assert.match(await page.title(), /^Error: /);
  assert.equal(await page.evaluate(() => document.activeElement.id), 'password');
  assert.equal(await page.getAttribute('#password', 'aria-invalid'), 'true');
  const described = (await page.getAttribute('#password', 'aria-describedby')).split(' ');
  assert.ok(described.includes('password-errors'));
  assert.equal(await page.inputValue('#email'), ADA);
});

test('the password can be shown, and managers find their fields', async () => {
  const { link } = await system.newLink();
  const page = await openPage(browser);
  await page.goto(link);
  assert.equal(await page.getAttribute('#password', 'autocomplete'), 'new-password');
  assert.equal(await page.getAttribute('#email', 'autocomplete'), 'username');
  await page.click('#show');
  assert.equal(await page.getAttribute('#password', 'type'), 'text');
  await page.click('#show');
  assert.equal(await page.getAttribute('#password', 'type'), 'password');
});

test('a double click sets the password once and says that it is set', async () => {
  const { link } = await system.newLink();
  const before = await epoch();
  const page = await openPage(browser);
  await page.goto(link);
  await page.fill('#password', `${GOOD} five`);
  await page.dblclick('#choose button:not(#show)');
  await page.locator('h1', { hasText: 'Your password is set' }).waitFor();
  assert.equal(await epoch(), before + 1);
});

test('the back button changes nothing and explains itself', async () => {
  const { link } = await system.newLink();
  const page = await openPage(browser);
  await page.goto(link);
  await page.fill('#password', `${GOOD} six`);
  await submit(page);
  assert.equal(await title(page), 'Your password is set');
  const before = await epoch();
  await page.goBack();
  await page.goForward().catch(() => {});
  assert.equal(await epoch(), before);
});

test('a link that was used says so at once and offers another, address filled in', async () => {
  const { link, code } = await system.newLink();
  const body = new URLSearchParams({ forgot_password_hash: code, new_password: `${GOOD} seven` });
  await fetch(system.choose, { method: 'POST', body });
  const page = await openPage(browser);
  await page.goto(link);
  await page.locator('#dead h1').waitFor();
  assert.equal(await title(page), 'This link no longer works');
  assert.equal(await page.inputValue('#again'), ADA);
  await system.linkAfter(() => page.click('#dead button'));
  assert.equal(await title(page), 'Look at your inbox');
});

test('an expired link is refused, also without JavaScript', async () => {
  const { link, code } = await system.newLink();
  await system.expireLinks();
  const page = await openPage(browser);
  await page.goto(link);
  await page.locator('#dead h1').waitFor();
  const plain = await openPage(browser, { javaScriptEnabled: false });
  await plain.goto(system.choose);
  await plain.fill('#code', code);
  await plain.fill('#password', GOOD);
  const [answer] = await Promise.all([plain.waitForNavigation(), submit(plain)]);
  assert.equal(answer.status(), 400);
  assert.equal(await title(plain), 'This link no longer works');
});

test('what was typed comes back with a sentence that helps', async () => {
  const page = await openPage(browser);
  await page.goto(system.ask);
  await page.fill('#email', 'ada at example');
  const [answer] = await Promise.all([page.waitForNavigation(), page.click('main button')]);
  assert.equal(answer.status(), 400);
  assert.equal(await page.inputValue('#email'), 'ada at example');
  assert.match(await page.textContent('#email-error'), /ada@example\.com/);
  assert.equal(await page.evaluate(() => document.activeElement.id), 'email');
});

test('the language is the browser\'s, can be chosen, and the link comes along', async () => {
  const { link } = await system.newLink();
  const page = await openPage(browser, { locale: 'de-DE' });
  await page.goto(link);
  assert.equal(await page.getAttribute('html', 'lang'), 'de');
  await page.click('nav a[lang=ar]');
  await page.waitForURL(/lang=ar$/);
  assert.equal(await page.getAttribute('html', 'dir'), 'rtl');
  assert.equal(await page.inputValue('#email'), ADA);
  await page.fill('#password', WEAK);
  await submit(page);
  assert.equal(await page.getAttribute('html', 'lang'), 'ar', 'a form answers in the chosen language');
});

test('the keyboard is enough', async () => {
  const { link } = await system.newLink();
  const page = await openPage(browser);
  await page.goto(link);
  const focused = () => page.evaluate(() => document.activeElement.id);
  const passed = [];
  while ((await focused()) !== 'password' && passed.length < 5) {
    await page.keyboard.press('Tab');
    passed.push(await focused());
  }
  assert.deepEqual(passed, ['email', 'password']);
  await page.keyboard.type(`${GOOD} eight`);
  await page.keyboard.press('Enter');
  assert.equal(await until(() => title(page).catch(() => false), 'the next page'), 'Your password is set');
});

test('/.well-known/change-password leads to the page', async () => {
  const page = await openPage(browser);
  await page.goto(`${system.url}/.well-known/change-password`);
  assert.equal(page.url(), system.ask);
});
