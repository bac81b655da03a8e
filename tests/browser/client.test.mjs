// The client, in Node against the real service: cuts, repeats, reloads, refusals.

import assert from 'node:assert/strict';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { spawn } from 'node:child_process';
import WebSocket from 'ws';
import { SendError, Tertulia } from '../../web/tertulia.js';
import { Order } from '../../web/tertulia/order.js';
import { memory } from '../../web/tertulia/outbox.js';
import { ROOT, startServer, tunnel, UNLIMITED, until } from './support.mjs';

let server;
before(async () => (server = await startServer(UNLIMITED)));
after(() => server.stop());

let people = 0;
/** Two people with a group of their own. */
async function pair() {
  people += 1;
  const [anna, boris] = [await server.person(`anna${people}`), await server.person(`boris${people}`)];
  const trip = await anna.group('trip', [boris]);
  return { anna, boris, trip: trip.id };
}

/** A client that remembers what it heard. */
function phone(person, options = {}) {
  const client = new Tertulia({ url: server.url, tokens: { ...person.tokens }, WebSocket, ...options });
  client.heard = [];
  client.on('*', (event) => event.seq !== undefined && event.type !== 'reset' && client.heard.push(event));
  client.isOnline = () => until('to be online', () => client.state === 'online');
  client.texts = () => client.heard.filter(({ type }) => type === 'message').map(({ data }) => data.text);
  return client.connect();
}

const numbers = (count) => Array.from({ length: count }, (_, at) => at + 1);

test('what is said while the line is cut comes once and in order', async () => {
  const { anna, boris, trip } = await pair();
  const line = await tunnel(server.url);
  const phoneOfAnna = phone(anna, { url: line.url });
  await phoneOfAnna.isOnline();
  const all = numbers(60).map((number) => `number ${number}`);
  for (const [at, text] of all.entries()) {
    await boris.say(trip, text);
    if (at % 7 === 3) line.cut();
    if (at === 30) line.down();
    if (at === 45) line.up();
  }
  phoneOfAnna.reconnect();
  await until('all messages', () => phoneOfAnna.texts().length >= all.length);
  await boris.say(trip, 'the last one');
  await until('the last one', () => phoneOfAnna.texts().at(-1) === 'the last one');
  assert.deepEqual(phoneOfAnna.texts(), [...all, 'the last one']);
  assert.deepEqual(phoneOfAnna.heard.map(({ seq }) => seq), numbers(61));
  phoneOfAnna.close();
  await line.close();
});

test('more than one replay can tell is told in several, of all chats', async () => {
  const { anna, boris, trip } = await pair();
  const other = await boris.personal(anna);
  const phoneOfAnna = phone(anna);
  await phoneOfAnna.isOnline();
  phoneOfAnna.close();
  for (let part = 0; part < 11; part++) {
    await Promise.all(numbers(100).map((number) => boris.say(trip, `${part} ${number}`)));
  }
  for (const number of numbers(3)) await boris.say(other.id, `here ${number}`);
  phoneOfAnna.connect();
  await until('all of it', () => phoneOfAnna.heard.length >= 1103);
  await phoneOfAnna.isOnline();
  const of = (chat) => phoneOfAnna.heard.filter(({ chat_id: id }) => id === chat).map(({ seq }) => seq);
  assert.deepEqual(of(trip), numbers(1100));
  assert.deepEqual(of(other.id), numbers(3));
  phoneOfAnna.close();
});

test('what is sent while the line is cut is stored once, in its order', async () => {
  const { anna, boris, trip } = await pair();
  const line = await tunnel(server.url);
  const phoneOfAnna = phone(anna, { url: line.url });
  await phoneOfAnna.isOnline();
  const all = numbers(40).map((number) => `number ${number}`);
  const sent = [];
  for (const [at, text] of all.entries()) {
    sent.push(phoneOfAnna.send(trip, text).sent);
    if (at % 5 === 2) {
      // The answer to what has just been sent is lost with the line.
      await new Promise(setImmediate);
      line.cut();
    }
    if (at === 20) line.down();
    if (at === 30) line.up();
    if (at % 3 === 0) phoneOfAnna.reconnect();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  phoneOfAnna.reconnect();
  const stored = await Promise.all(sent);
  assert.deepEqual(stored.map(({ text }) => text), all);
  assert.deepEqual(await boris.texts(trip), all);
  assert.deepEqual(phoneOfAnna.outbox, []);
  await until('to hear them all', () => phoneOfAnna.texts().length >= all.length);
  assert.deepEqual(phoneOfAnna.texts(), all);
  phoneOfAnna.close();
  await line.close();
});

test('what was sent without a connection survives a reload', async () => {
  const { anna, boris, trip } = await pair();
  const line = await tunnel(server.url);
  const storage = memory();
  const before = phone(anna, { url: line.url, storage });
  await before.isOnline();
  line.down();
  before.send(trip, 'one');
  before.send(trip, 'two', { replyTo: undefined });
  assert.equal(storage.length, 2);
  before.close();
  line.up();
  const afterwards = phone(anna, { url: line.url, storage });
  await until('both to be stored', () => storage.length === 0);
  assert.deepEqual(await boris.texts(trip), ['one', 'two']);
  afterwards.close();
  await line.close();
});

test('a refused message says why, and waits to be changed or thrown away', async () => {
  const { anna, boris, trip } = await pair();
  const phoneOfAnna = phone(anna);
  await phoneOfAnna.isOnline();
  const { clientId, sent } = phoneOfAnna.send(trip, 'x'.repeat(1001));
  await assert.rejects(sent, (error) => error instanceof SendError && error.code === 'text_too_long');
  assert.equal(phoneOfAnna.outbox[0].state, 'failed');
  await phoneOfAnna.send(trip, 'shorter').sent; // nobody waits behind it
  phoneOfAnna.discard(clientId);
  assert.deepEqual(phoneOfAnna.outbox, []);
  assert.deepEqual(await boris.texts(trip), ['shorter']);
  phoneOfAnna.close();
});

test('a token that has ended is renewed, and a session that has ended says so', async () => {
  const { anna, trip } = await pair();
  const short = await startServer({ ...UNLIMITED, ACCESS_TOKEN_LIFETIME: '1s' });
  const person = await short.person('anna');
  let kept = { ...person.tokens };
  const tokens = { get: () => kept, set: (next) => (kept = next) };
  const client = new Tertulia({ url: short.url, tokens, WebSocket });
  client.connect();
  await until('to be online', () => client.state === 'online');
  assert.notEqual(kept.access, person.tokens.access);
  assert.equal((await client.request('GET', '/api/users/me/')).username, 'anna');
  await person.rest('POST', '/api/token/blacklist/', { refresh: person.tokens.refresh }).catch(() => {});
  await until('to be told that the session has ended', () => client.state === 'signed_out');
  assert.equal(kept, null);
  await short.stop();

  const one = phone(anna, { chat: trip, signInBy: 'ticket' });
  await one.isOnline();
  await one.signOut();
  assert.equal(one.state, 'signed_out');
});

test('one chat alone is followed the same way, and left when one is removed from it', async () => {
  const { anna, boris, trip } = await pair();
  const line = await tunnel(server.url);
  const phoneOfBoris = phone(boris, { chat: trip, url: line.url });
  await phoneOfBoris.isOnline();
  await anna.say(trip, 'one');
  await until('one', () => phoneOfBoris.texts().length === 1);
  line.down();
  await anna.say(trip, 'two');
  line.up();
  phoneOfBoris.reconnect();
  await phoneOfBoris.send(trip, 'three').sent;
  assert.deepEqual(phoneOfBoris.texts(), ['one', 'two', 'three']);
  const closed = new Promise((resolve) => phoneOfBoris.on('state', (event) => event.state === 'closed' && resolve(event.code)));
  await anna.rest('DELETE', `/api/chats/${trip}/members/${boris.id}/`);
  assert.equal(await closed, 4003);
  await line.close();
});

test('chats that come and go while one is away are told', async () => {
  const { anna, boris, trip } = await pair();
  const phoneOfBoris = phone(boris);
  await phoneOfBoris.isOnline();
  const removed = new Promise((resolve) => phoneOfBoris.on('chat_removed', resolve));
  phoneOfBoris.close();
  await anna.rest('DELETE', `/api/chats/${trip}/members/${boris.id}/`);
  phoneOfBoris.connect();
  assert.equal((await removed).chat_id, trip);
  const added = new Promise((resolve) => phoneOfBoris.on('chat_added', resolve));
  const again = await anna.group('again', [boris]);
  assert.equal((await added).chat_id, again.id);
  await anna.say(again.id, 'hello');
  await until('hello', () => phoneOfBoris.texts().at(-1) === 'hello');
  phoneOfBoris.close();
});

test('sends that come too fast are sent again when they may, in their order', async () => {
  // A service that refuses the first two: what it says is written down here, when it says it isn't.
  const frames = [];
  class Refusing {
    readyState = 1;
    constructor() {
      queueMicrotask(() => this.tell({ type: 'connection_established', user_id: 1, username: 'anna', chats: [{ id: 7, seq: 0 }] }));
    }
    tell(frame) {
      this.onmessage({ data: JSON.stringify(frame) });
    }
    send(text) {
      const frame = JSON.parse(text);
      frames.push(frame.text);
      const seq = frames.length - 2;
      const { client_id } = frame;
      if (seq < 1) return this.tell({ type: 'error', code: 'rate_limited', message: 'Too many', client_id, chat_id: 7, retry_after: 0.05 });
      return this.tell({ type: 'message', seq, chat_id: 7, client_id, data: { id: seq, seq, text: frame.text } });
    }
    close() {}
  }
  const token = `x.${btoa(JSON.stringify({ exp: Date.now() / 1000 + 900 }))}.x`;
  const client = new Tertulia({ url: 'http://localhost', tokens: { access: token, refresh: token }, WebSocket: Refusing, fetch: () => assert.fail() });
  client.connect();
  const stored = await Promise.all(['a', 'b', 'c'].map((text) => client.send(7, text).sent));
  assert.deepEqual(stored.map(({ text }) => text), ['a', 'b', 'c']);
  assert.deepEqual(frames, ['a', 'a', 'a', 'b', 'c']);
  client.close();
});

test('a replay and what is live at the same time are put in order', () => {
  const order = new Order({ 7: 10 });
  const seqs = (frames) => frames.map(({ seq }) => seq);
  const take = (seq) => seqs(order.take(7, { seq }));
  assert.equal(order.catchUp(7, 13), 10);
  assert.deepEqual(take(14), []); // live, before the replay begins
  assert.deepEqual([11, 12, 13, 14].flatMap(take), [11, 12, 13, 14]);
  assert.deepEqual(take(13), []); // told twice
  assert.deepEqual(seqs(order.caughtUp(7, 14)), []);
  assert.deepEqual(take(15), [15]);
  assert.equal(order.take(7, { seq: 17 }), null); // a gap: ask
  // A history that was cleared begins late; what came while it was asked for follows it.
  order.catchUp(7, 20);
  assert.deepEqual([take(21), take(19), take(20)], [[], [19], [20]]);
  assert.deepEqual(seqs(order.caughtUp(7, 20)), [21]);
});

test('the example of the documentation runs as it stands there', async () => {
  const { anna, boris, trip } = await pair();
  const text = await readFile(join(ROOT, 'docs/client.md'), 'utf8');
  const [, example] = text.match(/<!-- run by the tests -->\n```js\n([\s\S]*?)```/);
  const library = pathToFileURL(join(ROOT, 'web/tertulia.js')).href;
  const path = join(ROOT, 'tests/browser', `example-${process.pid}.mjs`);
  const filled = example
    .replace("'./tertulia.js'", `'${library}'`)
    .replace("'http://127.0.0.1:8000'", `'${server.url}'`)
    .replace("'anna'", `'${anna.username}'`)
    .replace('const chat = 1', `const chat = ${trip}`);
  assert.notEqual(filled, example);
  await writeFile(path, filled);
  const running = spawn(process.execPath, [path], { stdio: ['ignore', 'pipe', 'inherit'] });
  let shown = '';
  running.stdout.on('data', (bytes) => (shown += bytes));
  const ended = new Promise((resolve) => running.on('exit', resolve));
  try {
    await until('the example to send', async () => (await boris.texts(trip)).length === 1);
    await boris.say(trip, 'Here!');
    assert.equal(await ended, 0);
    assert.match(shown, new RegExp(`stored as number 1\n[\\s\\S]*${boris.username}: Here!`));
  } finally {
    running.kill();
    await rm(path);
  }
});
