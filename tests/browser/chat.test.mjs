// Stories of the chat page, each with people in browsers of their own.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { launch, openPage, shownTexts, write } from './browser.mjs';
import { PASSWORD, startServer, tunnel, UNLIMITED, until } from './support.mjs';

let server;
let browser;
before(async () => ([server, browser] = await Promise.all([startServer(UNLIMITED), launch()])));
after(async () => {
  await browser?.close();
  await server?.stop();
});

let people = 0;
/** Two people with a group of their own. */
async function pair() {
  people += 1;
  const [anna, boris] = [await server.person(`anna${people}`), await server.person(`boris${people}`)];
  const trip = await anna.group('Trip', [boris]);
  return { anna, boris, trip: trip.id };
}

const open = (person, chat, options = {}) => openPage(browser, { url: server.url, person, path: chat ? `/#/chat/${chat}` : '/', ...options });
const message = (page, text) => page.locator('.message').filter({ has: page.locator('.text', { hasText: text }) });
/** Doesn't wait until the page tries by itself, unless it has come back already. */
async function comesBack(page) {
  const now = page.getByRole('button', { name: 'Try now' });
  await now.click({ timeout: 2000 }).catch(() => now.waitFor({ state: 'detached' }));
}
async function act(page, text, action) {
  await message(page, text).hover();
  await message(page, text).locator('.act').click();
  await page.getByRole('menuitem', { name: action }).click();
}

test('two people make accounts, find each other and chat', async () => {
  const anna = await open();
  await anna.getByRole('button', { name: 'Make an account' }).click();
  await anna.getByLabel('User name').fill('maria');
  await anna.getByLabel('New password').fill(PASSWORD);
  await anna.getByRole('button', { name: 'Make an account' }).click();
  await anna.getByText('No chats yet').waitFor();
  const ivan = await server.person('ivan');
  const phone = await open(ivan, null, { width: 390, height: 844 });

  await anna.getByRole('button', { name: 'New chat' }).first().click();
  await anna.getByLabel('Who with?').fill('iva');
  await anna.getByRole('dialog').getByRole('button', { name: /ivan/ }).click();
  await anna.locator('.composer-text').waitFor();
  await write(anna, 'Hello, Ivan!');
  await phone.getByRole('link', { name: /maria/ }).click();
  await message(phone, 'Hello, Ivan!').waitFor();
  await anna.getByLabel('Read', { exact: true }).waitFor();

  await phone.locator('.composer-text').pressSequentially('Hi');
  await anna.locator('.subtitle', { hasText: 'typing' }).waitFor();
  await phone.locator('.send').click();
  await message(anna, 'Hi').waitFor();
  await anna.locator('.subtitle', { hasText: 'online' }).waitFor();
  await phone.leave();
  await anna.locator('.subtitle', { hasText: 'last seen' }).waitFor();
  await anna.leave();
});

test('messages are answered, changed, reacted to and deleted, and both sides see it', async () => {
  const { anna, boris, trip } = await pair();
  const [a, b] = [await open(anna, trip), await open(boris, trip)];
  await write(a, 'Where are we');
  await act(b, 'Where are we', 'Reply');
  await write(b, 'At the station');
  await a.locator('.quote-text', { hasText: 'Where are we' }).waitFor();

  await act(a, 'Where are we', 'Edit');
  await write(a, 'Where are we now?');
  await message(b, 'Where are we now?').locator('.meta', { hasText: 'edited' }).waitFor();

  await act(a, 'Where are we now?', /^Read by/);
  await a.getByRole('dialog').getByText(boris.username).first().waitFor();
  await a.keyboard.press('Escape');

  await act(b, 'At the station', 'React with 👍');
  await a.getByRole('button', { name: new RegExp(`👍.*by ${boris.username}`) }).click();
  await b.locator('.reaction', { hasText: '2' }).waitFor();
  await b.locator('.reaction').click();
  await a.locator('.reaction', { hasText: '1' }).waitFor();
  await a.reload();
  await a.locator('.reaction', { hasText: '1' }).waitFor();

  await act(a, 'At the station', 'Delete');
  await a.getByRole('dialog').getByRole('button', { name: 'Delete', exact: true }).click();
  await b.getByText('Message deleted').first().waitFor();
  assert.ok(!(await shownTexts(b)).includes('At the station'));
  await a.leave();
  await b.leave();
});

test('who goes offline has everything once when they come back, and what they wrote is sent once', async () => {
  const { anna, boris, trip } = await pair();
  const line = await tunnel(server.url);
  const page = await open(anna, trip, { url: line.url });
  const other = await open(boris, trip);
  await write(page, 'before');
  await message(other, 'before').waitFor();
  line.down();
  await page.locator('.connection-line').waitFor();
  for (const text of ['one', 'two', 'three']) await write(other, text);
  for (const text of ['mine 1', 'mine 2']) await write(page, text);
  await page.getByText('2 messages are kept and will be sent.').waitFor();
  assert.equal(await page.getByLabel('Waiting to be sent').count(), 2);
  line.up();
  await comesBack(page);
  await message(other, 'mine 2').waitFor();
  await until('nothing waits', async () => (await page.getByLabel('Waiting to be sent').count()) === 0);
  await write(other, 'the last one');
  await message(page, 'the last one').waitFor();
  const all = ['before', 'one', 'two', 'three', 'mine 1', 'mine 2', 'the last one'];
  assert.deepEqual(await shownTexts(page), all);
  assert.deepEqual(await shownTexts(other), all);
  assert.deepEqual(await boris.texts(trip), all);
  await page.leave();
  await other.leave();
  await line.close();
});

test('what waits to be sent survives a reload, and so does a draft', async () => {
  const { anna, boris, trip } = await pair();
  const page = await open(anna, trip);
  await page.locator('.message, .empty').first().waitFor();
  // The socket alone is away: the page can be loaded, and nothing can be sent.
  let isAway = true;
  await page.context().routeWebSocket(/\/ws\//, (socket) => void (isAway ? socket.close() : socket.connectToServer()));
  await page.reload();
  await page.locator('.composer-text').waitFor();
  await write(page, 'kept');
  await page.getByLabel('Waiting to be sent').waitFor();
  await page.locator('.composer-text').fill('half a thou');
  await page.reload();
  await page.getByLabel('Waiting to be sent').waitFor();
  assert.equal(await page.locator('.composer-text').inputValue(), 'half a thou');
  assert.deepEqual(await boris.texts(trip), []);
  isAway = false;
  await comesBack(page);
  await page.getByLabel('Sent', { exact: true }).waitFor();
  assert.deepEqual(await boris.texts(trip), ['kept']);
  assert.deepEqual(await shownTexts(page), ['kept']);
  await page.leave();
});

test('an answer leads to what it answers, also where the message before that was said in another chat', async () => {
  const { anna, boris, trip } = await pair();
  const other = await anna.group('Other', [boris]);
  await boris.say(trip, 'the very first');
  await boris.say(other.id, 'between the two');
  const { id } = await boris.say(trip, 'Shall we take the train?');
  for (let at = 0; at < 160; at++) await boris.say(trip, `and so on ${at}`);
  await boris.rest('POST', `/api/chats/${trip}/messages/`, { text: 'Yes, the train', reply_to: id });
  const page = await open(anna, trip);
  const answer = message(page, 'Yes, the train');
  await answer.locator('.quote').click();
  await page.locator('.message.marked .text', { hasText: 'Shall we take the train?' }).waitFor();
  await message(page, 'the very first').waitFor();
  await message(page, 'and so on 0').waitFor();
  const shown = await shownTexts(page);
  assert.equal(shown.filter((text) => text === 'Shall we take the train?').length, 1);
  // From there on it is read to the end, without a gap.
  const seen = new Set(shown);
  await until('the end', async () => {
    await page.locator('.virtual').evaluate(async (list) => {
      list.scrollTop += 400;
      for (let frame = 0; frame < 3; frame++) await new Promise(requestAnimationFrame);
    });
    await page.locator('.loading-more').waitFor({ state: 'detached' });
    for (const text of await shownTexts(page)) seen.add(text);
    return seen.has('Yes, the train');
  });
  assert.equal(seen.size, 163);
  await page.leave();
});

test('what can’t be jumped to is said, and history that failed to load once is loaded all the same', async () => {
  const { anna, boris, trip } = await pair();
  const { id } = await boris.say(trip, 'long ago');
  for (let at = 0; at < 120; at++) await boris.say(trip, `and so on ${at}`);
  await boris.rest('POST', `/api/chats/${trip}/messages/`, { text: 'as I said', reply_to: id });
  const page = await open(anna, trip);
  await message(page, 'as I said').waitFor();
  let isAway = true;
  let refused = 0;
  await page.route(new RegExp(`/api/chats/${trip}/messages/`), (route) => {
    if (!isAway) return route.continue();
    refused += 1;
    return route.abort();
  });
  await message(page, 'as I said').locator('.quote').click();
  await page.locator('.toast', { hasText: 'can’t be reached' }).waitFor();
  assert.equal(await page.locator('.message.marked').count(), 0);
  const upwards = () => page.locator('.virtual').evaluate((list) => (list.scrollTop = 0));
  const before = refused;
  await upwards();
  await until('the page to be refused', () => refused > before);
  isAway = false;
  await message(page, 'and so on 18').waitFor();
  await until('the beginning', async () => {
    await upwards();
    return (await shownTexts(page)).includes('long ago');
  });
  await page.leave();
});

test('an operator sees who waits and answers; the customer sees the answer', async () => {
  const customer = await server.person('customer');
  const olga = await server.operator('olga');
  const desk = await openPage(browser, { url: server.url, person: olga, path: '/#/desk' });
  await desk.getByText('Nobody is waiting.').waitFor();
  const page = await open(customer);
  await page.locator('.me').click();
  await page.getByRole('menuitem', { name: 'Support' }).click();
  await page.getByText('Ask us anything').waitFor();
  await write(page, 'My order has not come');
  await desk.getByRole('link', { name: /customer.*less than a minute/ }).click();
  await message(desk, 'My order has not come').waitFor();
  await write(desk, 'I am looking for it');
  await message(page, 'I am looking for it').waitFor();
  await message(page, 'I am looking for it').getByText('olga').waitFor();
  await until('that nobody waits', async () => (await desk.locator('.waits').count()) === 0);
  await write(page, 'Thank you!');
  await message(desk, 'Thank you!').waitFor();
  await desk.locator('.waits').waitFor();
  await page.leave();
  await desk.leave();
});

test('texts and names that look like markup stay text', async () => {
  const { anna, boris, trip } = await pair();
  const nasty = ['<img src=x onerror="window.broken=1">', '<script>window.broken=1</script>', '"><svg onload=window.broken=1>', 'javascript:window.broken=1', '[x](javascript:window.broken=1) https://example.org/"onmouseover="window.broken=1'];
  await boris.rest('PATCH', '/api/users/me/', { first_name: '<b>Bo', last_name: '<i onclick=window.broken=1>' });
  await anna.rest('PATCH', `/api/chats/${trip}/`, { name: '<h1 onclick=window.broken=1>Trip' });
  const page = await open(anna, trip);
  await page.locator('.composer-text').waitFor();
  for (const text of nasty) await boris.say(trip, text);
  await message(page, nasty[4]).waitFor();
  assert.deepEqual(await shownTexts(page), nasty);
  await page.getByRole('button', { name: 'About' }).click();
  await page.locator('.info').getByText('<b>Bo').waitFor();
  const links = await page.locator('.text a').evaluateAll((all) => all.map((link) => ({ href: link.href, attributes: link.getAttributeNames() })));
  assert.deepEqual(links, [{ href: 'https://example.org/', attributes: ['href', 'target', 'rel'] }]);
  assert.equal(await page.locator('.message img, .message script, .message svg:not(.icon), .text b, .sidebar h1 h1').count(), 0);
  assert.equal(await page.evaluate(() => window.broken), undefined);
  await page.leave();
});

test('a group is led: renamed, filled, its members promoted and removed', async () => {
  const { anna, boris, trip } = await pair();
  const clara = await server.person(`clara${people}`);
  const [a, b] = [await open(anna, trip), await open(boris, trip)];
  await a.getByRole('button', { name: 'About' }).click();
  const info = a.locator('.info');
  await info.getByLabel('Name').fill('Journey');
  await info.getByRole('button', { name: 'Save' }).click();
  await b.locator('.conversation-title', { hasText: 'Journey' }).waitFor();
  await info.getByRole('button', { name: 'Add' }).click();
  await info.getByLabel('Who with?').fill(clara.username);
  await info.getByRole('button', { name: new RegExp(clara.username) }).first().click();
  await b.getByText(`${clara.username} was added`).waitFor();
  const c = await open(clara, trip);
  await info.getByRole('button', { name: `Actions for ${boris.username}` }).click();
  await a.getByRole('menuitem', { name: 'Make admin' }).click();
  await info.locator('.member', { hasText: boris.username }).getByText('Admin').waitFor();
  await info.getByRole('button', { name: `Actions for ${clara.username}` }).click();
  await a.getByRole('menuitem', { name: 'Remove from chat' }).click();
  await a.getByRole('dialog').getByRole('button', { name: 'Remove from chat' }).click();
  await c.getByText('Choose a chat').waitFor();
  assert.equal(await c.getByRole('link', { name: /Journey/ }).count(), 0);
  for (const page of [a, b, c]) await page.leave();
});

test('somebody who is blocked can’t write, until they are unblocked', async () => {
  const { anna, boris } = await pair();
  const chat = await anna.personal(boris);
  await boris.say(chat.id, 'psst');
  const [a, b] = [await open(anna, chat.id), await open(boris, chat.id)];
  await a.getByRole('button', { name: 'About' }).click();
  await a.locator('.info').getByRole('button', { name: 'Block' }).click();
  await a.getByText(`You have blocked ${boris.username}`).waitFor();
  await write(b, 'hello?');
  await b.getByLabel('Not sent').waitFor();
  await a.locator('.composer').getByRole('button', { name: 'Unblock' }).click();
  await a.locator('.composer-text').waitFor();
  await b.locator('.message.failed').hover();
  await b.locator('.message.failed .act').click();
  await b.getByRole('menuitem', { name: 'Send again' }).click();
  await message(a, 'hello?').waitFor();
  await a.leave();
  await b.leave();
});

test('a room is entered by its name, made by whoever comes first, and left', async () => {
  const { anna, boris } = await pair();
  const enter = async (page) => {
    await page.getByRole('button', { name: 'New chat' }).first().click();
    await page.getByRole('button', { name: 'Room', exact: true }).click();
    await page.getByLabel('Name of the room').fill(`reading ${people}`);
    await page.getByRole('button', { name: 'Enter' }).click();
    await page.locator('.composer-text').waitFor();
  };
  const [a, b] = [await open(anna), await open(boris)];
  await enter(a);
  await enter(b);
  await write(b, 'Which book?');
  await message(a, 'Which book?').waitFor();
  await b.getByRole('button', { name: 'About' }).click();
  await b.getByRole('button', { name: 'Leave chat' }).click();
  await b.getByRole('dialog').getByRole('button', { name: 'Leave chat' }).click();
  await b.getByText('Choose a chat').waitFor();
  await a.getByText(`${boris.username} left`).waitFor();
  await a.leave();
  await b.leave();
});

test('the page speaks the reader’s language and keeps what they choose', async () => {
  const { anna, trip } = await pair();
  const page = await open(anna, trip, { locale: 'ru-RU' });
  await page.getByPlaceholder('Написать сообщение').waitFor();
  assert.equal(await page.evaluate(() => document.documentElement.lang), 'ru');
  await page.locator('.me').click();
  await page.getByRole('menuitem', { name: 'Настройки' }).click();
  await page.getByLabel('Язык').selectOption('en');
  await page.getByRole('button', { name: 'Dark' }).click();
  await page.keyboard.press('Escape');
  await page.reload();
  await page.getByPlaceholder('Write a message').waitFor();
  assert.equal(await page.evaluate(() => getComputedStyle(document.documentElement).colorScheme), 'dark');
  await page.leave();
});

test('everything is reached by the keyboard', async () => {
  const { anna, boris, trip } = await pair();
  await boris.say(trip, 'first');
  await boris.say(trip, 'second');
  const personal = await anna.personal(boris);
  await boris.say(personal.id, 'psst');
  const page = await open(anna);
  await page.getByRole('link', { name: /Trip/ }).waitFor();
  await page.keyboard.press('Control+k');
  await page.keyboard.type('Trip');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await message(page, 'second').waitFor();
  await page.keyboard.press('Alt+ArrowUp');
  await message(page, 'psst').waitFor();
  await page.keyboard.press('Alt+ArrowDown');
  await message(page, 'second').waitFor();
  // From the field back to the messages, up to the first, its menu, an answer.
  await page.locator('.virtual').focus();
  await page.keyboard.press('ArrowUp');
  await page.keyboard.press('ArrowUp');
  await page.keyboard.press('Enter');
  await page.getByRole('menu').waitFor();
  for (let step = 0; step < 6; step++) await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Enter');
  await page.keyboard.type('an answer to the first');
  await page.keyboard.press('Enter');
  await page.locator('.quote-text', { hasText: 'first' }).waitFor();
  await page.getByLabel('Sent', { exact: true }).waitFor();
  await page.keyboard.press('ArrowUp'); // the last one of one's own is changed
  await page.locator('.composer-context').waitFor();
  await page.keyboard.press('Escape');
  assert.equal(await page.locator('.composer-context').count(), 0);
  await page.leave();
});

test('whoever changes the password stays signed in, in all tabs; other devices don’t', async () => {
  const { anna, boris, trip } = await pair();
  const [page, elsewhere] = [await open(anna, trip), await openPage(browser, { url: server.url, person: { tokens: await server.signIn(anna.username) }, path: `/#/chat/${trip}` })];
  await elsewhere.locator('.composer-text').waitFor();
  const tab = await page.context().newPage();
  await tab.goto(`${server.url}/#/chat/${trip}`);
  await tab.locator('.composer-text').waitFor();
  await page.locator('.me').click();
  await page.getByRole('menuitem', { name: 'Settings' }).click();
  await page.getByLabel('Current password').fill(PASSWORD);
  await page.getByLabel('New password').fill('another horse 8');
  await page.getByRole('button', { name: 'Change password' }).click();
  await page.locator('.toast', { hasText: 'other devices are signed out' }).waitFor();
  await elsewhere.getByRole('button', { name: 'Sign in' }).waitFor();
  await page.keyboard.press('Escape');
  await boris.say(trip, 'Who is there?');
  for (const each of [page, tab]) await message(each, 'Who is there?').waitFor();
  await write(page, 'Me');
  await write(tab, 'Me too');
  for (const each of [page, tab]) await message(each, 'Me too').waitFor();
  await page.reload();
  await message(page, 'Me too').waitFor();
  await page.leave();
  await elsewhere.leave();
});

test('signing out ends it in all tabs, and a session that was ended elsewhere says so', async () => {
  const { anna, trip } = await pair();
  const page = await open(anna, trip);
  await page.locator('.composer-text').waitFor();
  const tab = await page.context().newPage();
  await tab.goto(server.url);
  await tab.locator('.chat-link').first().waitFor();
  await tab.locator('.me').click();
  await tab.getByRole('menuitem', { name: 'Sign out' }).click();
  await tab.getByRole('button', { name: 'Sign in' }).waitFor();
  await page.getByRole('button', { name: 'Sign in' }).waitFor();
  await page.getByLabel('User name').fill(anna.username);
  await page.getByLabel('Password').fill('not this one');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByText('No such user name and password.').waitFor();
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.locator('.composer-text').waitFor();
  await page.leave();
});

test('a page of another site imports the client, and chats where its origin is allowed', async () => {
  const site = createServer((request, response) => response.setHeader('Content-Type', 'text/html').end('<!doctype html><title>Elsewhere</title>'));
  await new Promise((resolve) => site.listen(0, '127.0.0.1', resolve));
  const origin = `http://127.0.0.1:${site.address().port}`;
  const service = await startServer({ ...UNLIMITED, ALLOWED_ORIGINS: origin });
  const context = await browser.newContext();
  try {
    const [anna, boris] = [await service.person('anna'), await service.person('boris')];
    const trip = await anna.group('Trip', [boris]);
    const page = await context.newPage();
    await page.goto(origin);
    const seq = await page.evaluate(
      async ({ url, username, password, chat }) => {
        const { Tertulia } = await import(`${url}/tertulia.js`);
        const tertulia = new Tertulia({ url, tokens: await Tertulia.signIn(url, username, password) });
        const { sent } = tertulia.connect().send(chat, 'from elsewhere');
        return (await sent).seq;
      },
      { url: service.url, username: anna.username, password: PASSWORD, chat: trip.id },
    );
    assert.equal(seq, 1);
    assert.deepEqual(await boris.texts(trip.id), ['from elsewhere']);
  } finally {
    await context.close();
    await service.stop();
    site.close();
  }
});
