// With 500 chats and a chat of 10,000 messages: how soon a chat is open, how soon a message is seen, how much there is
// in the document, how much a first visit loads. What is measured is printed. A machine that is busy with something
// else is slow in one round and not in all: the best of three counts.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch, openPage, shownTexts } from './browser.mjs';
import { startServer, UNLIMITED } from './support.mjs';

const CHATS = 500;
const MESSAGES = 10_000;
const AT_ONCE = 64;
const ROUNDS = 3;
const GOALS = { openMs: 200, paintedMs: 50, nodes: 3000, kilobytes: 150 };

let server;
let browser;
let anna;
let boris;
let long;
let others;

async function several(count, deed) {
  let next = 0;
  const worker = async () => {
    while (next < count) await deed(next++);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

before(async () => {
  [server, browser] = await Promise.all([startServer(UNLIMITED), launch()]);
  [anna, boris] = [await server.person('anna'), await server.person('boris')];
  long = (await anna.group('Ten thousand', [boris])).id;
  others = [];
  await several(CHATS - 1, async (at) => {
    const { id } = await boris.group(`Chat ${at}`, [anna]);
    await boris.say(id, `The first message of chat ${at}`);
    others.push(id);
  });
  await several(MESSAGES, (at) => boris.say(long, `Message ${at}: ${'some words more '.repeat(at % 9)}`));
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

const nodes = (page) => page.evaluate(() => document.querySelectorAll('*').length);
/** Where what comes new is seen: nothing is unread, and nothing more is on its way. */
const atEnd = (page) =>
  page.waitForFunction(() => {
    const list = document.querySelector('.virtual');
    return list && !document.querySelector('.loading-more, .to-newest') && list.scrollHeight - list.scrollTop - list.clientHeight < 2;
  });
const percentile = (values, part) => values.toSorted((a, b) => a - b)[Math.floor(values.length * part)];

async function bestOf(measure, goal) {
  let best = Infinity;
  for (let round = 0; round < ROUNDS && best > goal; round++) best = Math.min(best, await measure());
  return best;
}

test('a first visit loads little', async (t) => {
  const context = await browser.newContext({ locale: 'ru-RU' });
  const visit = await context.newPage();
  const network = await context.newCDPSession(visit);
  await network.send('Network.enable');
  let bytes = 0;
  network.on('Network.loadingFinished', ({ encodedDataLength }) => (bytes += encodedDataLength));
  await visit.goto(server.url, { waitUntil: 'networkidle' });
  await visit.locator('.gate-card').waitFor();
  const kilobytes = bytes / 1024;
  t.diagnostic(`first load, headers and fonts of both scripts included: ${kilobytes.toFixed(1)} KB`);
  assert.ok(kilobytes > 20 && kilobytes < GOALS.kilobytes, `${kilobytes} KB`);
  await context.close();
});

test('a chat is open at once, also the long one', async (t) => {
  const page = await openPage(browser, { url: server.url, person: anna });
  await page.locator('.chat-link').first().waitFor();
  await page.getByLabel('Search').waitFor();
  /** From the click until the messages are painted. */
  const measure = (id) =>
    page.evaluate(async (chat) => {
      const begun = performance.now();
      location.hash = `#/chat/${chat}`;
      for (;;) {
        await new Promise(requestAnimationFrame);
        if (location.hash === `#/chat/${chat}` && document.querySelector('.message')) break;
      }
      await new Promise((resolve) => setTimeout(resolve)); // after the frame
      const took = performance.now() - begun;
      location.hash = '#/';
      while (document.querySelector('.message')) await new Promise(requestAnimationFrame);
      return took;
    }, id);
  const openMs = await bestOf(async () => {
    const all = [];
    for (const chat of others.slice(0, 20)) all.push(await measure(chat));
    return percentile(all, 0.95);
  }, GOALS.openMs);
  const longMs = await bestOf(() => measure(long), GOALS.openMs);
  t.diagnostic(`opening a chat: p95 ${openMs.toFixed(0)} ms; the one of ${MESSAGES} messages: ${longMs.toFixed(0)} ms`);
  assert.ok(openMs < GOALS.openMs && longMs < GOALS.openMs);
  await page.leave();
});

test('a message is painted at once, among 500 chats and in a long one', async (t) => {
  const page = await openPage(browser, { url: server.url, person: anna, path: '/docs/websocket/' });
  await page.context().addInitScript(() => {
    window.heard = new Map();
    window.painted = new Map();
    const Plain = window.WebSocket;
    window.WebSocket = class extends Plain {
      constructor(...given) {
        super(...given);
        this.addEventListener('message', ({ data }) => {
          const text = data.match(/"text":"(timed \d+)"/)?.[1];
          if (text) window.heard.set(text, performance.now());
        });
      }
    };
    new MutationObserver(() => {
      for (const element of document.querySelectorAll('.message .text')) {
        const text = element.textContent;
        if (!text.startsWith('timed ') || window.painted.has(text)) continue;
        window.painted.set(text, null);
        requestAnimationFrame(() => setTimeout(() => window.painted.set(text, performance.now())));
      }
    }).observe(document, { subtree: true, childList: true });
  });
  await page.goto(`${server.url}/#/chat/${long}`);
  await atEnd(page);
  let said = 0;
  const texts = (count) => Array.from({ length: count }, () => `timed ${++said}`);
  const took = (all) => page.evaluate((of) => of.map((text) => window.painted.get(text) - window.heard.get(text)), all);
  const isPainted = (text) => page.waitForFunction((last) => window.painted.get(last), text);
  const paintedMs = await bestOf(async () => {
    const all = texts(60);
    for (const [at, text] of all.entries()) {
      await Promise.all([boris.say(long, text), boris.say(others[at], 'elsewhere')]);
      await isPainted(text);
    }
    return percentile(await took(all), 0.95);
  }, GOALS.paintedMs);
  const flood = texts(200);
  for (const text of flood) await boris.say(long, text);
  await isPainted(flood.at(-1));
  const floodMs = percentile(await took([...flood.slice(-30)]), 0.95);
  t.diagnostic(`a message, from the socket to the screen: p95 ${paintedMs.toFixed(1)} ms; at the end of 200 without a pause: ${floodMs.toFixed(1)} ms`);
  assert.ok(paintedMs < GOALS.paintedMs, `${paintedMs} ms`);
  await page.leave();
});

test('scrolling back through all of it keeps the document small, and what is read in its place', async (t) => {
  const page = await openPage(browser, { url: server.url, person: anna, path: `/#/chat/${long}` });
  await page.locator('.message').first().waitFor();
  let most = await nodes(page);
  let jumps = 0;
  const begun = Date.now();
  for (;;) {
    const at = await page.evaluate(async () => {
      const list = document.querySelector('.virtual');
      const place = () => {
        const top = list.getBoundingClientRect().top;
        const row = [...list.querySelectorAll('.row')].find((one) => one.getBoundingClientRect().bottom > top + 4);
        return { key: row?.dataset.key, top: row?.getBoundingClientRect().top };
      };
      list.scrollTop = Math.max(0, list.scrollTop - 4000);
      await new Promise(requestAnimationFrame);
      await new Promise(requestAnimationFrame);
      const before = place();
      // Until what was asked for has come, or there is no more.
      for (let frame = 0; frame < 12; frame++) await new Promise(requestAnimationFrame);
      const row = document.querySelector(`[data-key="${before.key}"]`);
      return { top: list.scrollTop, moved: row ? Math.abs(row.getBoundingClientRect().top - before.top) : Infinity };
    });
    most = Math.max(most, await nodes(page));
    if (at.moved > 2) jumps += 1;
    const texts = await shownTexts(page);
    if (at.top === 0 && texts.some((text) => text.startsWith('Message '))) {
      const isOldest = await page.evaluate(() => !document.querySelector('.loading-more') && document.querySelector('.virtual .gap').offsetHeight < 20);
      if (isOldest) break;
    }
    assert.ok(Date.now() - begun < 180_000, 'the beginning is never reached');
  }
  t.diagnostic(`elements in the document at most: ${most}; rows that moved by themselves: ${jumps}`);
  assert.ok(most < GOALS.nodes, `${most} elements`);
  assert.ok(jumps <= 3, `${jumps} rows moved`);
  await page.getByRole('button', { name: 'To the newest message' }).click();
  await atEnd(page);
  const [newest] = (await anna.rest('GET', `/api/chats/${long}/messages/?before=&page_size=1`)).results;
  assert.equal((await shownTexts(page)).at(-1), newest.text);
  await page.leave();
});
