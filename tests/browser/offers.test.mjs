// What the page does with files and with the search of what was said.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { launch, openPage, write } from './browser.mjs';
import { startServer, UNLIMITED, until } from './support.mjs';

/** A red dot. */
const PICTURE = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAUAAAAFCAYAAACNbyblAAAAHElEQVQI12P4//8/w38GIAXDIBKE0DHxgljNBAAO9TXL0Y4OHwAAAABJRU5ErkJggg==', 'base64');

let server;
let browser;
let anna;
let boris;
let trip;
before(async () => {
  [server, browser] = await Promise.all([startServer({ ...UNLIMITED, SEARCHES_PER_MINUTE: 0 }), launch()]);
  [anna, boris] = [await server.person('anna'), await server.person('boris')];
  trip = (await anna.group('Trip', [boris])).id;
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

/** Whether the service has it: an older one, or one without it, hides the control. */
async function isOffered(path) {
  const headers = { Authorization: `Bearer ${anna.tokens.access}` };
  return (await fetch(server.url + path, { method: 'OPTIONS', headers })).status !== 404;
}

const open = (person) => openPage(browser, { url: server.url, person, path: `/#/chat/${trip}` });

test('files are sent, shown and fetched', async (t) => {
  if (!(await isOffered(`/api/chats/${trip}/attachments/`))) return t.skip('the service takes no files');
  const [a, b] = [await open(anna), await open(boris)];
  await a.getByRole('button', { name: 'Attach a file' }).waitFor();
  await a.locator('input[type=file]').setInputFiles([
    { name: 'dot.png', mimeType: 'image/png', buffer: PICTURE },
    { name: 'notes <b>.txt', mimeType: 'text/plain', buffer: Buffer.from('What was decided') },
  ]);
  const picture = b.getByRole('img', { name: 'dot.png' });
  await picture.waitFor();
  await until('the picture to be drawn', () => picture.evaluate((image) => image.naturalWidth === 5));
  const file = b.locator('.file', { hasText: 'notes' });
  await file.waitFor();
  const [download] = await Promise.all([b.waitForEvent('download'), file.click()]);
  assert.equal(await readFile(await download.path(), 'utf8'), 'What was decided');
  await a.leave();
  await b.leave();
});

test('what was said is found, and leads to where it was said', async (t) => {
  if (!(await isOffered('/api/search/'))) return t.skip('the service searches nothing');
  const a = await open(anna);
  await write(a, 'The lighthouse is closed on Mondays');
  for (let at = 0; at < 150; at++) await boris.say(trip, `and so on ${at}`);
  await until('the index to follow', async () => (await anna.rest('GET', '/api/search/?q=lighthouse')).results.length === 1);
  await a.reload();
  await a.getByLabel('Search').fill('lightho');
  await a.locator('.found').getByRole('button', { name: /lighthouse/ }).click();
  await a.locator('.message.marked .text', { hasText: 'lighthouse' }).waitFor();
  await a.getByRole('button', { name: 'To the newest message' }).click();
  await a.locator('.message .text', { hasText: 'and so on 149' }).waitFor();
  await a.leave();
});
