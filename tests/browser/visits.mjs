// Visits every page and both emails.

import { ADA, GOOD_PASSWORD, WEAK_PASSWORD } from './kit.mjs';

/** Navigates `page` to each of them and yields its name. */
export async function* everyPage(system, page, { withEmails = true } = {}) {
  const email = page.locator('main #email');
  await page.goto(system.forgotUrl);
  yield 'ask';
  await email.fill('nobody');
  await page.click('main button');
  yield 'ask-refused';
  await email.fill(ADA);
  await page.click('main button');
  yield 'sent';
  await page.goto(system.changeUrl);
  yield 'paste';

  const { link } = await system.requestLink();
  await page.goto('about:blank');
  await page.goto(link, { waitUntil: 'networkidle' });
  yield 'choose';
  await page.fill('#password', WEAK_PASSWORD);
  await page.click('#choose button:not(#show)');
  yield 'choose-refused';
  await page.fill('#password', `${GOOD_PASSWORD} ${Math.random()}`);
  await page.click('#choose button:not(#show)');
  yield 'done';
  await page.goto('about:blank');
  await page.goto(link, { waitUntil: 'networkidle' });
  yield 'dead';

  if (!withEmails) return;
  await page.goto(system.inboxUrl);
  yield 'inbox';
  // Outside the inbox, which blocks scripts in emails, and so axe-core.
  const emails = await system.emails();
  await page.goto('about:blank');
  for (const [name, hasLink] of [['email-link', true], ['email-changed', false]]) {
    await page.setContent(emails.find(email => email.text.includes('token=') === hasLink).html);
    yield name;
  }
}
