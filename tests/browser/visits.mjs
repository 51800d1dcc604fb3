// A walk past every page and both mails.

import { ADA, GOOD, WEAK } from './kit.mjs';

/** Brings `page` to each in turn and gives its name. */
export async function* everyPage(system, page, { withMails = true } = {}) {
  const email = page.locator('main #email');
  await page.goto(system.ask);
  yield 'ask';
  await email.fill('nobody');
  await page.click('main button');
  yield 'ask-refused';
  await email.fill(ADA);
  await page.click('main button');
  yield 'sent';
  await page.goto(system.choose);
  yield 'paste';

  const { link } = await system.newLink();
  await page.goto('about:blank');
  await page.goto(link, { waitUntil: 'networkidle' });
  yield 'choose';
  await page.fill('#password', WEAK);
  await page.click('#choose button:not(#show)');
  yield 'choose-refused';
  await page.fill('#password', `${GOOD} ${Math.random()}`);
  await page.click('#choose button:not(#show)');
  yield 'done';
  await page.goto('about:blank');
  await page.goto(link, { waitUntil: 'networkidle' });
  yield 'dead';

  if (!withMails) return;
  await page.goto(system.inbox);
  yield 'inbox';
  // By themselves: the inbox shows them without scripts, which axe-core is one of.
  const mails = await system.mails();
  await page.goto('about:blank');
  for (const [name, isOne] of [['mail-link', true], ['mail-changed', false]]) {
    await page.setContent(mails.find(mail => mail.text.includes('token=') === isOne).html);
    yield name;
  }
}
