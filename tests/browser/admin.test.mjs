// The admin panel, used by an operator.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ADA, GOOD_PASSWORD, accessibilityProblems, openPage, startBrowser, startSystem } from './kit.mjs';

const ROOT = 'root@example.com';

let system, browser;
before(async () => {
  [system, browser] = await Promise.all([startSystem(), startBrowser()]);
  await system.addSuperuser(ROOT, GOOD_PASSWORD);
});
after(async () => {
  await browser.close();
  await system.stop();
});

const title = page => page.locator('h1').textContent();

/** Navigates `page` through the panel and yields the name of each page. */
async function* everyAdminPage(page) {
  await page.goto(`${system.url}/admin/`);
  yield 'sign-in';
  await page.fill('#email', ROOT);
  await page.fill('#password', 'not the password at all');
  await page.click('main button');
  yield 'sign-in-refused';
  await page.fill('#email', ROOT);
  await page.fill('#password', GOOD_PASSWORD);
  await page.click('main button');
  yield 'users';
  await page.getByText('As numbers').click();
  yield 'numbers';
  await page.getByRole('link', { name: ADA }).click();
  yield 'user';
  await page.getByRole('link', { name: 'Deactivate' }).click();
  yield 'question';
}

for (const colorScheme of ['light', 'dark']) {
  test(`axe-core finds no problem and no page is too wide, ${colorScheme}`, async () => {
    const page = await openPage(browser, { colorScheme, viewport: { width: 320, height: 640 } });
    for await (const name of everyAdminPage(page)) {
      assert.deepEqual(await accessibilityProblems(page), [], name);
      const width = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(width <= 320, `${name} is ${width} pixels wide`);
    }
    assert.deepEqual(page.problems, []);
  });
}

test('a user is deactivated, activated again and sent a reset email', async () => {
  const page = await openPage(browser);
  for await (const _ of everyAdminPage(page));
  await page.click('main form button');
  assert.equal(await title(page), ADA);
  assert.equal((await system.user()).is_active.BOOL, false);

  await page.getByRole('link', { name: 'Activate' }).click();
  await page.click('main form button');
  assert.equal((await system.user()).is_active.BOOL, true);

  await system.linkAfter(async () => {
    await page.getByRole('link', { name: 'Send a reset mail' }).click();
    await page.click('main form button');
  });
});

test('the charts count requests, emails and refusals', async () => {
  const chart = async (page, name) => {
    const label = await page.getByRole('img', { name }).getAttribute('aria-label');
    return Number(label.match(/: (\d+) in all/)[1]);
  };
  const names = ['Requests', 'Mails', 'Refusals'];
  const page = await openPage(browser);
  for await (const name of everyAdminPage(page)) if (name === 'users') break;
  const before = [];
  for (const name of names) before.push(await chart(page, name));
  const { code } = await system.requestLink();
  for (const [token, password] of [['invalid', GOOD_PASSWORD], [code, 'weak']]) {
    await fetch(system.changeUrl, { method: 'POST', body: new URLSearchParams({ forgot_password_hash: token, new_password: password }) });
  }
  await page.reload();
  for (const [index, more] of [1, 1, 2].entries()) {
    assert.equal(await chart(page, names[index]), before[index] + more, names[index]);
  }
  await page.getByText('As numbers').click();
  const numbers = page.getByRole('region', { name: 'Numbers by the hour' });
  assert.equal(await numbers.locator('tbody tr').count(), 24);
});

test('signing out ends the session', async () => {
  const page = await openPage(browser);
  for await (const name of everyAdminPage(page)) if (name === 'users') break;
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.goto(`${system.url}/admin/`);
  assert.equal(await title(page), 'Sign in');
});
