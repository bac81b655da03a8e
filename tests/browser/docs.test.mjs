// The documents in the service: all of them without another host, and what may be tried is really tried.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch, openPage } from './browser.mjs';
import { PASSWORD, startServer, UNLIMITED, until } from './support.mjs';

let server;
let browser;
let anna;
let chat;
before(async () => {
  [server, browser] = await Promise.all([startServer(UNLIMITED), launch()]);
  anna = await server.person('anna');
  chat = (await anna.group('trip', [])).id;
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

test('every dialect shows its frames, and the console speaks it', async () => {
  const page = await openPage(browser, { url: server.url, path: '/docs/websocket/' });
  const document = await (await fetch(`${server.url}/asyncapi.json`)).json();
  await page.getByLabel('User name').fill('anna');
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByText('Signed in').waitFor();
  for (const [name, channel] of Object.entries(document.channels)) {
    await page.getByRole('navigation', { name: 'Dialects' }).getByRole('link', { name: `${name} ${channel.title}`, exact: true }).click();
    await page.getByRole('heading', { name: channel.title }).waitFor();
    assert.equal(await page.locator('.frame').count(), Object.keys(channel.messages).length, name);
  }
  await page.getByRole('link', { name: 'chats All of a user' }).click();
  await page.getByRole('button', { name: 'Connect' }).click();
  const log = page.locator('.console-log');
  await log.getByText('connection_established').waitFor();
  await page.locator('#chats-chats\\.client\\.message').getByRole('button', { name: 'Try' }).first().click();
  const frame = page.getByLabel('Frame', { exact: true });
  await until('the example to be filled in', async () => /"chat_id": 1/.test(await frame.inputValue()));
  assert.equal(chat, 1);
  await page.getByRole('button', { name: 'Send' }).click();
  await log.locator('.heard', { hasText: '"type":"message"' }).waitFor();
  await page.getByRole('button', { name: 'Close' }).click();
  await log.getByText('closed: 1000').waitFor();

  // Support signs in by its first frame: the example carries the reader's own token.
  await page.getByRole('link', { name: /^support/ }).click();
  await page.getByRole('button', { name: 'Connect' }).click();
  await page.locator('#support-support\\.client\\.message\\.auth').getByRole('button', { name: 'Try' }).first().click();
  await page.getByRole('button', { name: 'Send' }).click();
  await log.locator('.heard', { hasText: '"messages":null' }).waitFor();
  await page.leave();
});

test('Swagger UI signs in and calls', async () => {
  const page = await openPage(browser, { url: server.url, path: '/swagger/' });
  await page.getByRole('button', { name: 'Authorize' }).first().click();
  await page.locator('.auth-container input').first().fill(anna.tokens.access);
  await page.locator('.modal-ux button[type=submit]').first().click();
  await page.locator('.btn-done').click();
  await page.locator('.opblock-summary-path', { hasText: /^\/api\/chats\/$/ }).first().click();
  await page.getByRole('button', { name: 'Try it out' }).click();
  await page.getByRole('button', { name: 'Execute' }).click();
  await page.locator('.live-responses-table .response-col_status', { hasText: '200' }).waitFor();
  await page.leave();
});

test('ReDoc shows the operations', async () => {
  const page = await openPage(browser, { url: server.url, path: '/redoc/' });
  await page.getByRole('heading', { name: 'List one\'s own chats, last active first' }).waitFor();
  await until('to be drawn', async () => (await page.locator('[role=menuitem]').count()) > 20);
  await page.leave();
});
