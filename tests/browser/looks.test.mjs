// The main views, as people see them and as programs read them aloud: nothing overflows, axe finds nothing serious. Their
// pictures are written to `screenshots/`, to be looked at.

import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { launch, openPage, seriousFindings } from './browser.mjs';
import { ROOT, startServer, UNLIMITED } from './support.mjs';

const PICTURES = join(ROOT, 'tests/browser/screenshots');
const SIZES = [
  { width: 1280, height: 800 },
  { width: 390, height: 844 },
];

let server;
let browser;
let world;
before(async () => {
  [server, browser] = await Promise.all([startServer(UNLIMITED), launch(), mkdir(PICTURES, { recursive: true })]);
  world = await fill();
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

/** A service on which some people have talked. */
async function fill() {
  const anna = await server.person('anna', { first_name: 'Anna', last_name: 'Kovalenko' });
  const boris = await server.person('boris', { first_name: 'Boris', last_name: 'Meyer' });
  const clara = await server.person('clara', { first_name: 'Clara', last_name: 'Vidal' });
  const dmitri = await server.person('dmitri', { first_name: 'Дмитрий', last_name: 'Соколов' });
  const olga = await server.operator('olga');
  const group = await anna.group('Trip to Porto', [boris, clara, dmitri]);
  await boris.say(group.id, 'Morning! I found a flat near the river, two bedrooms and a balcony.');
  const flat = await boris.say(group.id, 'https://example.org/flats/riverside-42');
  await clara.rest('POST', `/api/chats/${group.id}/messages/`, { text: 'Oh nice. Is it far from the station?', reply_to: flat.id });
  await dmitri.say(group.id, 'Я за! Балкон — это главное');
  const asked = await anna.say(group.id, 'Ten minutes on foot, I checked. Shall we take it? We can cancel until Friday, so nothing is lost if somebody changes their mind.');
  const gone = await clara.say(group.id, 'Wait');
  await clara.rest('DELETE', `/api/chats/${group.id}/messages/${gone.id}/`);
  await clara.say(group.id, '🎉');
  for (const person of [boris, clara]) {
    await person.rest('PUT', `/api/chats/${group.id}/messages/${asked.id}/reactions/${encodeURIComponent('👍')}/`);
  }
  const personal = await anna.personal(boris);
  await anna.say(personal.id, 'Did the parcel arrive?');
  await boris.rest('POST', `/api/chats/${personal.id}/read/`, {});
  await boris.say(personal.id, 'Yes, this morning. Thank you!');
  const other = await anna.personal(dmitri);
  await dmitri.say(other.id, 'Привет! Завтра в семь?');
  await anna.rest('POST', '/api/chats/', { kind: 'room', name: 'reading club' });
  const help = await clara.rest('POST', '/api/chats/', { kind: 'support' });
  await clara.say(help.id, 'Hello, my order 1187 has not arrived yet. Could you check?');
  await anna.rest('POST', '/api/chats/', { kind: 'support' });
  const lonely = await server.person('lonely');
  return { anna, boris, clara, olga, lonely, group: group.id, personal: personal.id, help: help.id };
}

/** Each view: whose, where, how it is reached, and what shows that it is there. */
function views() {
  const { anna, clara, olga, lonely, group, personal, help } = world;
  const menu = async (page, item) => {
    await page.locator('.me').click();
    await page.getByRole('menuitem', { name: item }).click();
  };
  return [
    { name: 'sign-in', path: '/', shows: '.gate-card' },
    { name: 'list', person: anna, path: '/', shows: '.chat-link' },
    { name: 'list-empty', person: lonely, path: '/', shows: '.empty' },
    { name: 'group', person: anna, path: `/#/chat/${group}`, shows: '.reaction' },
    { name: 'personal', person: anna, path: `/#/chat/${personal}`, shows: '.message' },
    { name: 'menu', person: anna, path: `/#/chat/${group}`, shows: '.message', reach: (page) => page.locator('.message').first().click({ button: 'right' }), then: '.menu' },
    { name: 'about', person: anna, path: `/#/chat/${group}`, shows: '.message', reach: (page) => page.getByRole('button', { name: 'About' }).click(), then: '.member' },
    { name: 'new-chat', person: anna, path: '/', shows: '.chat-link', reach: (page) => page.getByRole('button', { name: 'New chat' }).first().click(), then: '.picker-list' },
    { name: 'settings', person: anna, path: '/', shows: '.chat-link', reach: (page) => menu(page, 'Settings'), then: '.session' },
    { name: 'support', person: clara, path: `/#/chat/${help}`, shows: '.message' },
    { name: 'desk', person: olga, path: `/#/desk/${help}`, shows: '.message' },
    {
      name: 'offline',
      person: anna,
      path: `/#/chat/${personal}`,
      shows: '.message',
      async reach(page) {
        await page.context().routeWebSocket(/\/ws\//, (socket) => socket.close());
        await page.reload();
        await page.locator('.composer-text').fill('This one waits');
        await page.keyboard.press('Enter');
      },
      then: '.connection-line.waiting',
    },
    { name: 'documents', person: anna, path: '/docs/websocket/#chats', shows: '.frame' },
  ];
}

for (const scheme of ['light', 'dark']) {
  for (const size of SIZES) {
    test(`the main views at ${size.width} pixels, ${scheme}`, async (t) => {
      for (const view of views()) {
        await t.test(view.name, async () => {
          const page = await openPage(browser, { url: server.url, person: view.person, path: view.path, scheme, ...size });
          await page.locator(view.shows).first().waitFor({ state: 'attached' });
          await view.reach?.(page);
          if (view.then) await page.locator(view.then).first().waitFor();
          await page.evaluate(() => document.fonts.ready);
          await page.screenshot({ path: join(PICTURES, `${view.name}-${size.width}-${scheme}.png`) });
          const tooWide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
          assert.ok(tooWide <= 0, `${tooWide} pixels too wide`);
          assert.deepEqual(await seriousFindings(page), []);
          await page.leave();
        });
      }
    });
  }
}

test('the Russian page fits as well', async () => {
  for (const size of SIZES) {
    for (const [name, person, path, shows] of [
      ['list', world.anna, '/', '.chat-link'],
      ['desk', world.olga, `/#/desk/${world.help}`, '.message'],
    ]) {
      const page = await openPage(browser, { url: server.url, person, path, locale: 'ru-RU', ...size });
      await page.locator(shows).first().waitFor();
      await page.screenshot({ path: join(PICTURES, `${name}-${size.width}-ru.png`) });
      assert.equal(await page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth), false);
      await page.leave();
    }
  }
});
