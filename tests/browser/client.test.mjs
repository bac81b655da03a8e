// The client, in Node against the real service: cuts, repeats, reloads, refusals.

import assert from 'node:assert/strict';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { spawn } from 'node:child_process';
import WebSocket from 'ws';
import { SendError, Tertulia } from '../../web/tertulia.js';
import { Conversation } from '../../web/app/conversation.js';
import { Order } from '../../web/tertulia/order.js';
import { memory } from '../../web/tertulia/outbox.js';
import { PASSWORD, ROOT, startServer, tunnel, UNLIMITED, until } from './support.mjs';

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

let tokensMade = 0;
/** An access token by its form, good for a quarter of an hour, or for as long as is said. */
function token(seconds = 900) {
  const now = Math.floor(Date.now() / 1000);
  return `x.${btoa(JSON.stringify({ iat: now, exp: now + seconds, jti: ++tokensMade }))}.x`;
}

/**
 * A service in the client's own process, for what a real one says rarely: it remembers the frames that it hears, greets
 * with its chats (`{ id: seq }`), stores messages, and says whatever else the story makes it say.
 */
function fakeService(chats = { 7: 0 }) {
  const service = { chats, frames: [], stored: [], sockets: [] };
  /** One message more in a chat. */
  service.store = ({ text, client_id, chat_id }) => {
    const seq = ++chats[chat_id];
    service.stored.push(text);
    service.tell({ type: 'message', seq, chat_id, client_id, data: { id: seq, seq, text } });
  };
  service.replay = ({ since }) => {
    for (const id of Object.keys(since)) service.tell({ type: 'synced', chat_id: Number(id), seq: chats[id], has_more: false });
  };
  service.tell = (frame) => service.socket.onmessage({ data: JSON.stringify(frame) });
  service.end = (code) => {
    service.socket.readyState = 3;
    service.socket.onclose({ code, reason: '' });
  };
  service.greet = () => {
    const items = Object.entries(chats).map(([id, seq]) => ({ id: Number(id), seq, unread_count: 0 }));
    service.tell({ type: 'connection_established', user_id: 1, username: 'anna', chats: items });
  };
  service.WebSocket = class {
    readyState = 0;
    constructor(url, protocols) {
      Object.assign(this, { access: protocols[1] });
      service.socket = this;
      service.sockets.push(protocols[1]);
      queueMicrotask(() => {
        this.readyState = 1;
        service.greet();
      });
    }
    send(text) {
      const frame = JSON.parse(text);
      service.frames.push(frame);
      const answers = { message: service.store, sync: service.replay, ping: () => service.tell({ type: 'pong' }) };
      queueMicrotask(() => answers[frame.type](frame));
    }
    close() {
      this.readyState = 3;
    }
  };
  service.client = (options = {}) => {
    const tokens = { access: token(), refresh: token() };
    const client = new Tertulia({ url: 'http://localhost', tokens, WebSocket: service.WebSocket, fetch: () => assert.fail(), ...options });
    client.isOnline = () => until('to be online', () => client.state === 'online');
    return client.connect();
  };
  return service;
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

test('a text that no frame holds doesn’t cut the line for ever: it fails alone, also after a reload', async () => {
  const { anna, boris, trip } = await pair();
  const storage = memory();
  const phoneOfAnna = phone(anna, { storage, user: anna.id });
  const waits = [];
  phoneOfAnna.on('state', ({ state, code, retryAt }) => state === 'waiting' && waits.push([code, retryAt - Date.now()]));
  await phoneOfAnna.isOnline();
  const { clientId, sent } = phoneOfAnna.send(trip, 'x'.repeat(70 << 10));
  const next = phoneOfAnna.send(trip, 'what comes after it');
  await until('it to be given up', () => phoneOfAnna.outbox[0]?.state === 'failed');
  await assert.rejects(sent, (error) => error instanceof SendError && error.code === 'text_too_long');
  assert.equal((await next.sent).text, 'what comes after it');
  const [[code, pause]] = waits;
  assert.equal(code, 1009);
  assert.ok(pause < 1000, `what was wrong is mended, and still it waits for ${pause} ms`);
  assert.deepEqual(phoneOfAnna.outbox.map((entry) => [entry.state, entry.code]), [['failed', 'text_too_long']]);
  // Now that it is known what is too much, it isn't tried any more.
  phoneOfAnna.retry(clientId);
  await assert.rejects(phoneOfAnna.send(trip, '\n'.repeat(40 << 10)).sent, { code: 'text_too_long' });
  await phoneOfAnna.send(trip, 'x'.repeat(1000)).sent;
  assert.deepEqual([waits.length, phoneOfAnna.outbox.length], [1, 2]);
  phoneOfAnna.close();
  const afterwards = phone(anna, { storage, user: anna.id });
  await afterwards.send(trip, 'the last one').sent;
  assert.deepEqual(afterwards.outbox.map((entry) => entry.state), ['failed', 'failed']);
  assert.deepEqual(await boris.texts(trip), ['what comes after it', 'x'.repeat(1000), 'the last one']);
  afterwards.close();
});

test('a large text under which the line is cut again and again fails, where the word for it is lost', async () => {
  const service = fakeService({ 7: 0, 8: 0 });
  const { store } = service;
  let cuts = 0;
  service.store = (frame) => (frame.text.length < 70_000 ? store(frame) : (cuts++, service.end(1006)));
  const client = service.client();
  await client.isOnline();
  const { sent } = client.send(7, 'x'.repeat(70_000));
  await until('it to be given up', () => client.outbox[0].state === 'failed');
  await assert.rejects(sent, { code: 'text_too_long' });
  assert.equal(cuts, 3);
  await client.send(7, 'short').sent;
  // One that isn't large is never to blame for a line that is cut.
  service.store = (frame) => (cuts++ < 8 ? service.end(1006) : store(frame));
  assert.equal((await client.send(8, 'x'.repeat(10_000)).sent).text.length, 10_000);
  client.close();
});

test('a message that is sent while a refused token is renewed isn’t stuck', async () => {
  const service = fakeService();
  let answer = null;
  const fetch = () => new Promise((resolve) => (answer = () => resolve(Response.json({ access: token() }))));
  const client = service.client({ fetch });
  await client.isOnline();
  service.end(4001);
  client.send(7, 'one');
  assert.equal(client.state, 'connecting');
  await until('the token to be renewed', () => answer);
  client.send(7, 'two');
  answer();
  await until('both to be stored', () => client.outbox.length === 0);
  assert.deepEqual(service.stored, ['one', 'two']);
  assert.equal(new Set(service.sockets).size, 2);
  // Nor is one that is sent into a socket which is about to say that it is closed.
  service.socket.readyState = 2;
  client.send(7, 'three');
  assert.equal(client.outbox[0].state, 'waiting');
  service.end(1006);
  client.reconnect();
  await until('it to be stored', () => service.stored.length === 3);
  client.close();
});

test('a network that fails while a refused token is renewed signs nobody out', async () => {
  const service = fakeService();
  let asked = 0;
  const fetch = async () => {
    asked += 1;
    if (asked === 1) throw new TypeError('network');
    return Response.json({ access: token() });
  };
  const client = service.client({ fetch });
  await client.isOnline();
  const { greet } = service;
  const [first] = service.sockets;
  // The old token is refused as long as it comes.
  service.greet = () => (service.socket.access === first ? service.end(4001) : greet());
  service.end(4001);
  await until('to wait', () => client.state === 'waiting');
  client.reconnect();
  await client.isOnline();
  assert.equal(asked, 2);
  client.close();
});

test('what was refused for good isn’t sent again by a reload, only by its sender', async () => {
  const { anna, boris } = await pair();
  const { id: chat } = await anna.personal(boris);
  const block = (method) => boris.rest(method, `/api/users/${anna.id}/block/`);
  await block('PUT');
  const storage = memory();
  const before = phone(anna, { storage, user: anna.id });
  const { clientId, sent } = before.send(chat, 'hello?');
  await assert.rejects(sent, { code: 'forbidden' });
  const [{ error }] = before.outbox;
  before.close();
  await block('DELETE');
  const afterwards = phone(anna, { storage, user: anna.id });
  const kept = afterwards.outbox.map((entry) => [entry.clientId, entry.text, entry.state, entry.code, entry.error]);
  assert.deepEqual(kept, [[clientId, 'hello?', 'failed', 'forbidden', error]]);
  await afterwards.send(chat, 'something else').sent;
  assert.deepEqual(await boris.texts(chat), ['something else']);
  afterwards.retry(clientId);
  await until('nothing to be kept', () => storage.length === 0);
  assert.deepEqual(await boris.texts(chat), ['something else', 'hello?']);
  assert.deepEqual(afterwards.outbox, []);
  afterwards.close();
});

test('what was refused goes with its chat, whether one hears of that or was away', async () => {
  const { anna, boris, trip } = await pair();
  const refused = (client, chat) => assert.rejects(client.send(chat, 'x'.repeat(1001)).sent, { code: 'text_too_long' });
  const storage = memory();
  const first = phone(boris, { storage, user: boris.id });
  const second = (await anna.group('second', [boris])).id;
  const third = (await anna.group('third', [boris])).id;
  for (const chat of [trip, second, third]) await refused(first, chat);
  assert.deepEqual([first.outbox.length, storage.length], [3, 3]);
  const leave = (chat) => anna.rest('DELETE', `/api/chats/${chat}/members/${boris.id}/`);
  await leave(trip);
  await until('it to be dropped', () => first.outbox.length === 2);
  first.close();
  await leave(second);
  const afterwards = phone(boris, { storage, user: boris.id });
  await until('that of the other chat to be dropped', () => afterwards.outbox.length === 1);
  assert.deepEqual([afterwards.outbox[0].chat, storage.length], [third, 1]);
  // What one didn't know in time to be in vain is refused, and not kept either.
  await assert.rejects(afterwards.send(second, 'am I still here?').sent, { code: 'not_found' });
  assert.deepEqual(afterwards.outbox.map(({ chat }) => chat), [third]);
  afterwards.close();
  const closed = phone(boris, { storage, user: boris.id, chat: third });
  await closed.isOnline();
  await leave(third);
  await until('to be closed', () => closed.state === 'closed');
  assert.equal(storage.length, 0);
});

test('a chat that goes while its catching up has to wait doesn’t hold up the others', async () => {
  const service = fakeService({ 7: 3, 8: 0 });
  service.replay = () => {
    service.tell({ type: 'error', code: 'rate_limited', message: 'Too many', chat_id: 7, retry_after: 0.05 });
    delete service.chats[7];
    service.tell({ type: 'chat_removed', chat_id: 7 });
  };
  const client = service.client({ positions: { 7: 0, 8: 0 } });
  client.send(8, 'here');
  await until('it to be stored', () => client.outbox.length === 0);
  assert.equal(client.state, 'online');
  assert.equal(client.position(7), undefined);
  // Nor is it asked for once the wait is over.
  await new Promise((resolve) => setTimeout(resolve, 100));
  const asked = service.frames.filter(({ type }) => type === 'sync').map(({ since }) => since);
  assert.deepEqual(asked, [{ 7: 0 }]);
  client.close();
});

test('more chats than one frame should name are caught up with in several', async () => {
  const seqs = (seq) => Object.fromEntries(numbers(2500).map((id) => [id, seq]));
  const service = fakeService(seqs(5));
  const client = service.client({ positions: seqs(2) });
  await client.isOnline();
  const asked = service.frames.map(({ since }) => Object.keys(since));
  assert.deepEqual(asked.map(({ length }) => length), [1000, 1000, 500]);
  assert.equal(new Set(asked.flat()).size, 2500);
  assert.ok(service.frames.every((frame) => JSON.stringify(frame).length < 60_000));
  assert.equal(client.position(2500), 5);
  client.close();
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

test('whoever changes the password stays signed in, in all tabs, and nobody else does', async () => {
  const { anna, boris, trip } = await pair();
  let kept = { ...anna.tokens };
  const tokens = { get: () => kept, set: (next) => (kept = next) };
  const [tab, other, thief] = [phone(anna, { tokens }), phone(anna, { tokens }), phone(anna)];
  for (const client of [tab, other, thief]) await client.isOnline();
  await assert.rejects(tab.changePassword('not this one', 'another horse 8'), { status: 400 });
  assert.deepEqual(kept, anna.tokens);
  await tab.changePassword(PASSWORD, 'another horse 8');
  assert.notEqual(kept.refresh, anna.tokens.refresh);
  await until('the other device to be signed out', () => thief.state === 'signed_out');
  await boris.say(trip, 'who is there?');
  for (const client of [tab, other]) {
    await until('to hear it', () => client.texts().at(-1) === 'who is there?');
    assert.equal((await client.request('GET', '/api/users/me/')).username, anna.username);
  }
  await assert.rejects(Tertulia.signIn(server.url, anna.username, PASSWORD), { status: 401 });
  tab.close();
  other.close();
});

test('a late refusal of old tokens takes no newer ones along', async () => {
  for (const delay of [0, 300]) {
    const service = fakeService();
    let kept = { access: token(-60), refresh: 'old' };
    const newer = { access: token(), refresh: 'new' };
    const tokens = { get: () => kept, set: (next) => (kept = next) };
    const fetch = async () => {
      // Another tab has changed the password: its answer is there, or as good as there.
      if (delay) setTimeout(() => (kept = newer), delay);
      else kept = newer;
      return Response.json({ detail: 'Token is blacklisted' }, { status: 401 });
    };
    const client = service.client({ tokens, fetch });
    await client.isOnline();
    assert.equal(kept, newer);
    assert.deepEqual(service.sockets, [newer.access]);
    client.close();
  }
});

test('a token that comes after one has signed out is thrown away, and one of another session is used', async () => {
  for (const then of [null, { access: token(), refresh: 'new' }]) {
    const service = fakeService();
    let kept = { access: token(-60), refresh: 'old' };
    const tokens = { get: () => kept, set: (next) => (kept = next) };
    const fetch = async () => {
      kept = then;
      return Response.json({ access: token(), refresh: 'of the old one' });
    };
    const client = service.client({ tokens, fetch });
    await until('to be told', () => client.state === (then ? 'online' : 'signed_out'));
    assert.equal(kept, then);
    assert.deepEqual(service.sockets, then ? [then.access] : []);
    client.close();
  }
});

test('another tab’s token of a session that has ended as well isn’t the end of the one that followed', async () => {
  const service = fakeService();
  const [mine, others] = [{ access: token(), refresh: 'old' }, { access: token(), refresh: 'old' }];
  const newer = { access: token(), refresh: 'new' };
  let kept = mine;
  const tokens = { get: () => kept, set: (next) => (kept = next) };
  const fetch = async () => {
    kept = newer;
    return Response.json({ detail: 'Token is blacklisted' }, { status: 401 });
  };
  const client = service.client({ tokens, fetch });
  await client.isOnline();
  const { greet } = service;
  service.greet = () => (service.socket.access === newer.access ? greet() : service.end(4001));
  kept = others;
  service.end(4001);
  await client.isOnline();
  assert.deepEqual(service.sockets, [mine.access, others.access, newer.access]);
  assert.equal(kept, newer);
  client.close();
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

test('history that couldn’t be loaded isn’t given up: it is asked for again after a pause, or once one is back', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const message = (id) => ({ id, seq: id, text: `${id}`, sender: { id: 1 } });
  let isAway = false;
  const asked = [];
  const client = {
    request: async () => ({ results: [], count: 0 }),
    async history(chat, { before, after }) {
      asked.push(before ?? after ?? 'newest');
      if (isAway) throw new TypeError('network');
      if (after) return { messages: [message(after + 1)], hasOlder: true, hasNewer: false };
      return { messages: [message((before ?? 100) - 1)], hasOlder: true, hasNewer: true };
    },
  };
  let drawn = 0;
  const conversation = new Conversation(5, client, () => (drawn += 1));
  await conversation.open(0, 1);
  isAway = true;
  await conversation.older();
  await conversation.older();
  assert.deepEqual(asked, ['newest', 99], 'a failure isn’t repeated at once');
  const before = drawn;
  t.mock.timers.tick(1000);
  assert.equal(drawn, before + 1, 'whoever draws is told that there is more to be asked for');
  await conversation.older();
  assert.deepEqual(asked.splice(0), ['newest', 99, 99]);
  isAway = false;
  conversation.resume();
  await conversation.older();
  await conversation.older();
  assert.deepEqual(conversation.messages.map(({ id }) => id), [97, 98, 99]);
  // The other end, after a jump.
  conversation.hasNewer = true;
  isAway = true;
  await conversation.newer();
  isAway = false;
  await conversation.newer();
  assert.equal(conversation.messages.at(-1).id, 99);
  t.mock.timers.tick(1000);
  await conversation.newer();
  assert.equal(conversation.messages.at(-1).id, 100);
  assert.deepEqual(asked, [99, 98, 99, 99]);
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
