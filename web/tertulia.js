// Tertulia's client: one socket for all of a user's chats (or for one chat), which comes back by itself and
// forgets nothing. What it promises:
//
// - Events come once and in the order of their chat, also across lost connections (`tertulia/order.js`).
// - What was sent is kept until the service has it, also across a reload, and is stored once (`tertulia/outbox.js`).
// - Access tokens are renewed before they end (`tertulia/session.js`).
//
// It runs in browsers and in Node, and needs nothing else. Types: tertulia.d.ts.

import { ApiError, SendError, SignedOut } from './tertulia/errors.js';
import { Order } from './tertulia/order.js';
import { memory, Outbox, PASSING } from './tertulia/outbox.js';
import { readBody, retryAfter, Session, TOKEN_MARGIN, tokenStore } from './tertulia/session.js';

export { ApiError, SendError, SignedOut };

const SECOND = 1000;
/** The first pause before coming back; doubled each time, up to the longest. */
const PAUSE_FIRST = 0.5 * SECOND;
const PAUSE_MAX = 30 * SECOND;
/** Silence after which the service is asked whether it is there, and how long it may take to answer. */
const SILENCE_MAX = 20 * SECOND;
const ANSWER_MAX = 10 * SECOND;
/** When the network says that it is gone, it may be mistaken: asked, and given less time. */
const PROBE_MAX = 3 * SECOND;
const TICK = 1 * SECOND;
/** Chats that are caught up with at once: the frame that asks for them stays far below what the service takes. */
const SYNC_MAX = 1000;
/** As often a refused token is mended in a row: once by what another tab has stored, once by asking for a new one. */
const RENEWALS_MAX = 2;
/** After these the service wants its clients to come back spread over some seconds. */
const SPREAD_CODES = new Set([1001, 1011, 1012, 1013, 4008]);
/** After these there is nothing to come back to. */
const FINAL_CODES = new Set([4000, 4003, 4004, 4009, 4010]);
/** Among them: the user isn't in the chat any more. */
const LEFT_CODES = new Set([4003, 4010]);
const SIGNED_OUT_CODES = new Set([4001, 4002]);
/** Something has to be mended first: no hurry. */
const SLOW_CODES = new Set([1002, 1003, 1007, 1009, 4029, 4030]);

/** Grows with time, which is cheapest for the service to keep apart. */
function newClientId() {
  const random = crypto.getRandomValues(new Uint8Array(8));
  return Date.now().toString(36) + '-' + Array.from(random, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** A user's connection. */
export class Tertulia {
  #options;
  #session;
  #order;
  #outbox;
  #listeners = new Map();
  #socket = null;
  #wanted = false;
  #state = 'closed';
  #attempts = 0;
  /** Which try to connect is the one that counts. */
  #turn = 0;
  #timer = null;
  #heartbeat = null;
  #heard = 0;
  #asked = null;
  /** How often a refused token was mended since the service last said hello. */
  #renewals = 0;
  /** Chats whose replay was asked for, and those to be asked for next. */
  #awaited = new Set();
  #next = {};

  constructor(options) {
    const { url, tokens, fetch = globalThis.fetch.bind(globalThis), storage = memory(), positions = {} } = options;
    this.#options = { signInBy: 'subprotocol', WebSocket: globalThis.WebSocket, ...options };
    this.#session = new Session(url.replace(/\/$/, ''), tokenStore(tokens), fetch, () => this.#signedOut());
    this.#order = new Order(positions);
    this.#outbox = new Outbox(storage, () => this.#emit('outbox', { type: 'outbox', entries: this.outbox }));
    if (options.user !== undefined) this.#outbox.open(options.user);
    for (const name of ['online', 'offline']) {
      globalThis.addEventListener?.(name, () => (name === 'online' ? this.reconnect() : this.#probe(PROBE_MAX)));
    }
    globalThis.document?.addEventListener('visibilitychange', () => document.hidden || this.reconnect());
  }

  /** The tokens for a name and a password. */
  static async signIn(url, username, password, fetch = globalThis.fetch) {
    const response = await fetch(`${url.replace(/\/$/, '')}/api/token/`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ username, password }),
    });
    const body = await readBody(response);
    if (!response.ok) throw new ApiError(response.status, body, retryAfter(response));
    return body;
  }

  /** `closed`, `connecting`, `syncing`, `online`, `waiting` or `signed_out`. */
  get state() {
    return this.#state;
  }

  /** What was sent and isn't known to be stored, oldest first. */
  get outbox() {
    return this.#outbox.list();
  }

  /** The last number seen in a chat. */
  position(chat) {
    return this.#order.places.get(chat)?.seen;
  }

  /** Calls `listener` with every event of that type (`*`: of all); what comes back ends it. */
  on(type, listener) {
    if (!this.#listeners.has(type)) this.#listeners.set(type, new Set());
    this.#listeners.get(type).add(listener);
    return () => this.#listeners.get(type).delete(listener);
  }

  #emit(type, event) {
    for (const name of [type, '*']) {
      for (const listener of this.#listeners.get(name) ?? []) {
        try {
          listener(event);
        } catch (error) {
          // The listener's own affair: the next ones are still told, and the order goes on.
          queueMicrotask(() => {
            throw error;
          });
        }
      }
    }
  }

  #become(state, more = {}) {
    this.#state = state;
    this.#emit('state', { type: 'state', state, ...more });
  }

  /** Connects, and stays connected until `close`. */
  connect() {
    if (this.#wanted) return this;
    this.#wanted = true;
    void this.#open();
    return this;
  }

  /** Ends the connection; what wasn't sent stays in the outbox. */
  close() {
    this.#wanted = false;
    clearTimeout(this.#timer);
    this.#leave(1000);
    if (this.#state !== 'signed_out') this.#become('closed');
  }

  /** Comes back now, where it was waiting to; where it is connected, looks whether that is still true. */
  reconnect() {
    if (!this.#wanted) return;
    if (this.#state === 'waiting') {
      clearTimeout(this.#timer);
      void this.#open();
    } else {
      this.#probe(PROBE_MAX);
    }
  }

  async #open() {
    const turn = ++this.#turn;
    const isLate = () => !this.#wanted || turn !== this.#turn;
    if (this.#state !== 'connecting') this.#become('connecting');
    let socket;
    try {
      const { chat, support, signInBy, WebSocket } = this.#options;
      const target = new URL(this.#session.url + (chat ? `/ws/chat/${chat}/` : '/ws/chats/'));
      target.protocol = target.protocol.replace('http', 'ws');
      if (support) target.searchParams.set('support', '1');
      const access = await this.#session.access();
      if (signInBy === 'ticket') {
        const { ticket } = await this.#session.request('POST', '/api/token/ticket/');
        target.searchParams.set('ticket', ticket);
      }
      if (isLate()) return;
      socket = signInBy === 'ticket' ? new WebSocket(target.href) : new WebSocket(target.href, ['bearer', access]);
      socket.access = access;
    } catch (error) {
      if (!(error instanceof SignedOut) && !isLate()) this.#wait(1006);
      return;
    }
    this.#socket = socket;
    this.#heard = Date.now();
    this.#asked = { at: Date.now(), within: ANSWER_MAX }; // the greeting is the first answer
    this.#heartbeat = setInterval(() => this.#beat(), TICK);
    socket.onmessage = ({ data }) => {
      if (socket !== this.#socket) return;
      this.#heard = Date.now();
      this.#asked = null;
      this.#hear(JSON.parse(data));
    };
    socket.onclose = ({ code, reason }) => socket === this.#socket && this.#lost(code, reason);
    socket.onerror = () => {}; // `onclose` follows
  }

  /** Lets go of the socket, whatever it still has to say. */
  #leave(code) {
    this.#turn += 1;
    const socket = this.#socket;
    this.#socket = null;
    clearInterval(this.#heartbeat);
    this.#awaited.clear();
    this.#next = {};
    this.#outbox.rewind();
    if (socket) socket.close(code);
  }

  #lost(code, reason) {
    const { access } = this.#socket;
    const isMended = this.#outbox.blame(code);
    this.#leave(1000);
    if (FINAL_CODES.has(code)) {
      this.#wanted = false;
      if (LEFT_CODES.has(code)) this.#outbox.forget((id) => id === this.#options.chat);
      this.#become('closed', { code, reason });
    } else if (SIGNED_OUT_CODES.has(code)) {
      this.#become('connecting'); // nothing goes out until there is a socket again
      void this.#mend(access, code);
    } else {
      this.#wait(code, isMended);
    }
  }

  /** A token was refused: it may have been too old. Where renewed ones aren't taken either, the session has ended. */
  async #mend(access, code) {
    const turn = this.#turn;
    try {
      if (this.#renewals >= RENEWALS_MAX) throw new SignedOut();
      await this.#session.renew(access);
      this.#renewals += 1;
      if (this.#wanted && turn === this.#turn) void this.#open();
    } catch (error) {
      if (turn !== this.#turn) return;
      if (error instanceof SignedOut) this.#signedOut();
      else this.#wait(code);
    }
  }

  #signedOut() {
    this.#wanted = false;
    clearTimeout(this.#timer);
    this.#leave(1000);
    if (this.#state !== 'signed_out') this.#become('signed_out');
  }

  #wait(code, isMended = false) {
    if (!this.#wanted) return;
    const longest = SLOW_CODES.has(code) && !isMended ? PAUSE_MAX : Math.min(PAUSE_MAX, PAUSE_FIRST * 2 ** this.#attempts);
    this.#attempts += 1;
    // Spread, so that those who were cut off together don't come back together.
    const spread = SPREAD_CODES.has(code) ? SECOND + 9 * SECOND * Math.random() : 0;
    const pause = Math.max(spread, longest * (0.5 + Math.random() / 2));
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#open(), pause);
    this.#become('waiting', { code, retryAt: Date.now() + pause });
  }

  #beat() {
    const now = Date.now();
    if (this.#asked && now - this.#asked.at > this.#asked.within) {
      this.#lost(1006, '');
    } else if (!this.#asked && now - this.#heard > SILENCE_MAX) {
      this.#probe(ANSWER_MAX);
    }
    const socket = this.#socket;
    if (socket && this.#session.goodFor(socket.access) < 2 * TOKEN_MARGIN) void this.#authenticate(socket);
  }

  #probe(within) {
    if (!this.#socket || !this.#send({ type: 'ping' })) return;
    this.#asked ??= { at: Date.now(), within };
  }

  /** Shows a new token before the old one ends: a service may be set to end its sockets with them. */
  async #authenticate(socket) {
    const stale = socket.access;
    socket.access = null;
    try {
      socket.access = await this.#session.renew(stale);
      if (socket === this.#socket) this.#send({ type: 'authenticate', token: socket.access });
    } catch {
      socket.access = stale; // tried again at the next beat, unless the session has ended
    }
  }

  #send(frame) {
    if (this.#socket?.readyState !== 1) return false;
    this.#socket.send(JSON.stringify(frame));
    return true;
  }

  #chatOf(frame) {
    return frame.chat_id ?? this.#options.chat;
  }

  /** A frame to a chat. */
  #tell(chat, frame) {
    return this.#send(this.#options.chat ? frame : { ...frame, chat_id: chat });
  }

  #hear(frame) {
    switch (frame.type) {
      case 'connection_established':
        return this.#greeted(frame);
      case 'synced':
        return this.#synced(frame);
      case 'error':
        return this.#refused(frame);
      case 'chat_added':
        this.#order.places.set(frame.chat_id, { seen: frame.data.last_seq, catching: null });
        return this.#emit(frame.type, frame);
      case 'chat_removed':
        this.#left(frame.chat_id);
        return this.#catchUp(); // it may have been the last one that was waited for
      case 'message':
        if (frame.client_id && this.#outbox.settle(frame.client_id, frame.data)) {
          this.#numbered(frame);
          this.#emit('outbox', { type: 'outbox', entries: this.outbox });
          return this.#pump();
        }
        return frame.repeat ? undefined : this.#numbered(frame);
      default:
        return frame.seq === undefined ? this.#tellOn(frame) : this.#numbered(frame);
    }
  }

  #tellOn(frame) {
    const chat = this.#chatOf(frame);
    this.#emit(frame.type, chat === undefined ? frame : { ...frame, chat_id: chat });
  }

  #numbered(frame) {
    const chat = this.#chatOf(frame);
    const due = this.#order.take(chat, frame);
    if (due === null) {
      this.#next[chat] = this.#order.catchUp(chat, frame.seq);
      return this.#catchUp();
    }
    for (const event of due) this.#tellOn(event);
    return undefined;
  }

  #greeted(frame) {
    const { chat } = this.#options;
    this.#attempts = 0;
    this.#renewals = 0;
    this.user = { id: frame.user_id, username: frame.username };
    this.#outbox.open(frame.user_id);
    const chats = frame.chats ?? [{ id: frame.chat_id, seq: frame.seq, unread_count: frame.unread_count }];
    const gone = new Set(chat ? [] : this.#order.places.keys());
    for (const { id, seq } of chats) {
      gone.delete(id);
      const place = this.#order.places.get(id);
      if (!place) this.#order.places.set(id, { seen: seq, catching: null });
      else if (place.seen !== seq) this.#next[id] = this.#order.catchUp(id, seq);
    }
    this.#emit(frame.type, frame);
    for (const id of gone) this.#left(id);
    // Of those that went while there was no client to hear it.
    if (!chat) this.#outbox.forget((id) => !this.#order.places.has(id));
    this.#catchUp();
  }

  /** The user isn't in a chat any more: nothing of it is asked for, and what it refused can't be taken up. */
  #left(chat) {
    this.#order.places.delete(chat);
    this.#awaited.delete(chat);
    delete this.#next[chat];
    this.#outbox.forget((id) => id === chat);
    this.#emit('chat_removed', { type: 'chat_removed', chat_id: chat });
  }

  /** Asks for what was missed; where nothing is left to ask for, one is online. */
  #catchUp() {
    if (this.#awaited.size > 0) return;
    const chats = Object.keys(this.#next).slice(0, SYNC_MAX);
    if (chats.length === 0) {
      if (this.#state !== 'online') this.#become('online');
      this.#pump();
      return;
    }
    const since = {};
    for (const chat of chats) {
      since[chat] = this.#next[chat];
      delete this.#next[chat];
      this.#awaited.add(Number(chat));
    }
    this.#send({ type: 'sync', since: this.#options.chat ? since[chats[0]] : since });
    if (this.#state !== 'syncing') this.#become('syncing');
  }

  #synced(frame) {
    const chat = this.#chatOf(frame);
    const place = this.#order.places.get(chat);
    this.#awaited.delete(chat);
    if (place && frame.has_more) {
      place.seen = Math.max(place.seen, frame.seq);
      this.#next[chat] = place.seen;
    } else if (place) {
      if (frame.reset) place.seen = frame.seq;
      for (const event of this.#order.caughtUp(chat, frame.seq)) this.#tellOn(event);
      if (frame.reset) this.#emit('reset', { type: 'reset', chat_id: chat, seq: frame.seq });
    }
    this.#catchUp();
  }

  #refused(frame) {
    const chat = this.#chatOf(frame);
    if (frame.client_id) {
      this.#outbox.refuse(frame.client_id, frame, () => this.#pump());
      const isGone = frame.code === 'not_found' && !this.#order.places.has(chat);
      if (isGone) this.#outbox.forget((id) => id === chat);
      this.#pump();
    } else if (frame.code === 'not_found' && this.#awaited.has(chat)) {
      this.#left(chat);
      this.#catchUp();
    } else if (PASSING.has(frame.code) && this.#awaited.size > 0) {
      this.#askAgain(frame.retry_after ?? 2);
    }
    this.#tellOn(frame);
  }

  /** Perhaps it was the catching up that was refused; asked twice, it is told twice and taken once. */
  #askAgain(seconds) {
    const socket = this.#socket;
    setTimeout(() => {
      if (socket !== this.#socket) return;
      for (const chat of this.#awaited) {
        if (this.#order.places.has(chat)) this.#next[chat] = this.position(chat);
      }
      this.#awaited.clear();
      this.#catchUp();
    }, seconds * SECOND);
  }

  #pump() {
    if (this.#state !== 'online' || this.#socket?.readyState !== 1) return;
    for (const { chat, text, replyTo, clientId } of this.#outbox.due()) {
      const reply = replyTo === undefined ? {} : { reply_to: replyTo };
      this.#tell(chat, { type: 'message', text, client_id: clientId, ...reply });
    }
  }

  /** Sends a message, now or once there is a connection; `sent` is the message as it is stored. */
  send(chat, text, { replyTo, clientId = newClientId() } = {}) {
    const sent = this.#outbox.add(chat, text, replyTo, clientId);
    this.#pump();
    return { clientId, sent };
  }

  /** Sends a refused message again. */
  retry(clientId) {
    this.#outbox.retry(clientId);
    this.#pump();
  }

  /** Forgets a message that wasn't sent. */
  discard(clientId) {
    this.#outbox.discard(clientId);
    this.#pump();
  }

  /** Says that one types, or stopped. */
  typing(chat, isTyping = true) {
    return this.#tell(chat, { type: 'typing', is_typing: isTyping });
  }

  /** Marks as read, up to a message or all of them. */
  read(chat, upTo) {
    return this.#tell(chat, { type: 'read_messages', ...(upTo === undefined ? {} : { up_to: upTo }) });
  }

  /** Asks REST as the user: `request('GET', '/api/users/me/')`. */
  request(method, path, body) {
    return this.#session.request(method, path, body);
  }

  /** A page of history, the newest first: the last one, or what lies before or after a message. */
  async history(chat, { before, after, pageSize = 50 } = {}) {
    const place = after === undefined ? `before=${before ?? ''}` : `after=${after}`;
    const page = await this.request('GET', `/api/chats/${chat}/messages/?${place}&page_size=${pageSize}`);
    return { messages: page.results, hasOlder: page.next !== null, hasNewer: page.previous !== null };
  }

  /** Changes the text of one's own message. */
  edit(chat, message, text) {
    return this.request('PATCH', `/api/chats/${chat}/messages/${message}/`, { text });
  }

  /** Deletes a message. */
  remove(chat, message) {
    return this.request('DELETE', `/api/chats/${chat}/messages/${message}/`);
  }

  /** Puts a reaction, or takes it back. */
  react(chat, message, emoji, isOn = true) {
    const path = `/api/chats/${chat}/messages/${message}/reactions/${encodeURIComponent(emoji)}/`;
    return this.request(isOn ? 'PUT' : 'DELETE', path);
  }

  /** Changes the password. That ends all sessions of the user; this client goes on in a new one. */
  async changePassword(oldPassword, newPassword) {
    const body = { old_password: oldPassword, new_password: newPassword };
    this.#session.tokens.set(await this.request('POST', '/api/users/me/password/', body));
  }

  /** Ends the session, here and on the service. */
  async signOut() {
    const tokens = this.#session.tokens.get();
    if (tokens) await this.request('POST', '/api/token/blacklist/', { refresh: tokens.refresh }).catch(() => {});
    this.#session.tokens.set(null);
    this.#signedOut();
  }
}
