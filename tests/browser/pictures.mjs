// Takes the screenshots in docs/pictures: every page and both emails, light and dark, on phone and desktop.

import { mkdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { openPage, startBrowser, startSystem } from './kit.mjs';
import { everyPage } from './visits.mjs';

const FOLDER = fileURLToPath(new URL('../../docs/pictures/', import.meta.url));
const SCREENS = { phone: { width: 390, height: 780, shown: 195 }, desktop: { width: 1000, height: 780, shown: 400 } };

await mkdir(FOLDER, { recursive: true });
const [system, browser] = await Promise.all([startSystem({ SUPPORT_URL: 'https://help.example.com/' }), startBrowser()]);
for (const [screen, { width, height, shown }] of Object.entries(SCREENS)) {
  for (const colorScheme of ['light', 'dark']) {
    const page = await openPage(browser, { colorScheme, viewport: { width, height } });
    const pictures = [];
    for await (const name of everyPage(system, page)) {
      // A screenshot can fail during navigation.
      const picture = await page.screenshot().catch(async () => {
        console.log(`${screen} ${colorScheme}: retrying ${name}`);
        await page.waitForTimeout(500);
        return page.screenshot();
      });
      pictures.push(`<figure><img width="${shown}" src="data:image/png;base64,${picture.toString('base64')}"><figcaption>${name}</figcaption></figure>`);
    }
    const sheet = await openPage(browser, { viewport: { width: 1240, height: 100 } });
    await sheet.setContent(`<style>body{margin:0;padding:8px;background:#777;color:#fff;font:14px sans-serif;display:flex;flex-wrap:wrap;gap:8px}figure{margin:0}img{display:block}</style>${pictures.join('')}`);
    await sheet.screenshot({ path: `${FOLDER}${screen}-${colorScheme}.png`, fullPage: true });
  }
}
await browser.close();
await system.stop();
