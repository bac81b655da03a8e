// All that the page shows: who is signed in, their chats, what is unread, who is there. Events of the service and
// deeds of the user come in; whoever draws is told that something changed, once for each burst.

import { SignedOut, Tertulia } from '../tertulia.js';
import { Conversation } from './conversation.js';
import { blocks, tokens } from './kept.js';
import { t } from './i18n.js';
import { reason, reasonOf } from './reason.js';

/** What the service may or may not offer, by an address that answers where it does. */
const FEATURES = {
  search: '/api/search/',
  attachments: '/api/chats/0/attachments/',
  export: '/api/users/me/export/',
};
const PAGE = 100;
/** Typing that isn't repeated ends. */
const TYPING_MAX = 10_000;
/** Conversations that stay loaded. */
const LOADED_MAX = 12;
const TOAST = 5000;
/** How often what changed is drawn, in ms: while somebody looks, and while nobody does. */
const FRAME = 16;
const HIDDEN_FRAME = 200;

/** Names that differ only in case are one room. */
function roomKey(name) {
  return (name ?? '').normalize('NFKC').toLowerCase();
}

export class Store {
  me = null;
  /** `loading`, `ready`, `failed` or `signed_out`. */
  phase = 'loading';
  connection = { state: 'closed' };
  chats = new Map();
  support = new Map();
  features = {};
  blocked = new Set();
  toasts = [];
  /** What a screen reader is told next. */
  announcement = '';
  client = null;
  #conversations = new Map();
  #present = new Map();
  #typing = new Map();
  #people = new Map();
  #listeners = new Set();
  #isTelling = false;
  #told = 0;
  #supportTimer = null;
  #joining = new Map();

  onChange(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** At once after a pause, else once for each frame: a flood of events is drawn as often as it can be seen. */
  changed = () => {
    if (this.#isTelling) return;
    this.#isTelling = true;
    if (performance.now() - this.#told > FRAME) return void queueMicrotask(this.#tell);
    requestAnimationFrame(this.#tell);
    setTimeout(this.#tell, HIDDEN_FRAME); // nobody looks: there are no frames
  };

  #tell = () => {
    if (!this.#isTelling) return;
    this.#isTelling = false;
    for (const listener of this.#listeners) listener();
    this.#told = performance.now();
  };

  /** Begins a session: reads the chats, then hears what happens in them from there on. */
  async start() {
    this.#clear();
    if (!tokens.get()) {
      this.phase = 'signed_out';
      return this.changed();
    }
    this.changed();
    const asking = new Tertulia({ url: location.origin, tokens });
    asking.on('state', ({ state }) => state === 'signed_out' && this.end());
    try {
      this.me = await asking.request('GET', '/api/users/me/');
      const chats = await this.#all(asking, '/api/chats/');
      for (const chat of chats) this.#put(chat);
      if (this.me.is_staff) await this.#loadSupport(asking);
    } catch (error) {
      if (!(error instanceof SignedOut)) {
        this.phase = 'failed';
        this.error = error;
      }
      return this.changed();
    }
    this.blocked = blocks.list(this.me.id);
    this.#connect();
    this.phase = 'ready';
    this.changed();
    void this.#ask();
    return undefined;
  }

  #clear() {
    this.client?.close();
    Object.assign(this, { me: null, phase: 'loading', client: null, error: null, features: {} });
    for (const map of [this.chats, this.support, this.#conversations, this.#present, this.#typing, this.#people]) {
      map.clear();
    }
  }

  /** The session is over. Its tokens are gone; those that are there, another has stored since. */
  end() {
    this.#clear();
    this.phase = 'signed_out';
    this.changed();
  }

  async signOut() {
    await this.client?.signOut();
    this.end();
  }

  /** All pages of a list; those after the first at the same time. */
  async #all(client, path) {
    const first = await client.request('GET', `${path}?page_size=${PAGE}`);
    const pages = Math.ceil(first.count / PAGE);
    const rest = Array.from({ length: Math.max(0, pages - 1) }, (_, at) =>
      client.request('GET', `${path}?page_size=${PAGE}&page=${at + 2}`),
    );
    return [first, ...(await Promise.all(rest))].flatMap((page) => page.results);
  }

  async #ask() {
    const asked = Object.entries(FEATURES).map(async ([name, path]) => {
      const isThere = await this.client.request('OPTIONS', path).then(
        () => true,
        (error) => error.status !== undefined && error.status !== 404,
      );
      return [name, isThere];
    });
    this.features = Object.fromEntries(await Promise.all(asked));
    this.changed();
  }

  #connect() {
    const all = [...this.support.values(), ...this.chats.values()];
    const positions = Object.fromEntries(all.map((chat) => [chat.id, chat.last_seq]));
    const client = new Tertulia({
      url: location.origin,
      tokens,
      positions,
      storage: localStorage,
      user: this.me.id,
      support: this.me.is_staff,
    });
    this.client = client;
    client.on('*', (event) => {
      if (client !== this.client) return;
      this.#hear(event);
      this.changed();
    });
    client.connect();
  }

  // ── what happens ─────────────────────────────────────────────────────────────────────────────

  #hear(event) {
    const id = event.chat_id;
    switch (event.type) {
      case 'state':
        this.connection = event;
        if (event.state === 'signed_out') this.end();
        if (event.state === 'waiting') this.#nobodyIsThere();
        if (event.state === 'online') for (const conversation of this.#conversations.values()) conversation.resume();
        return;
      case 'connection_established':
        return this.#reconcile(event.chats);
      case 'chat_added':
        // A support chat that isn't one's own comes with its customer in the list of those.
        if (event.data.kind === 'support' && this.#isDesk(event.data)) return this.#askSupport();
        this.#put(event.data);
        return this.#joining.get(roomKey(event.data.name))?.(event.data);
      case 'chat_removed':
      case 'chat_deleted':
        return this.#drop(id);
      case 'reset':
        this.#conversations.delete(id);
        return void this.refresh(id);
      case 'unread':
        return this.#update(id, { unread_count: event.unread_count });
      case 'typing':
        return this.#types(event);
      case 'presence':
        return void this.#present.set(id, {
          users: new Set(event.users?.map((user) => user.id)),
          count: event.count ?? event.users?.length ?? 0,
        });
      case 'user_online':
        this.#comes(id, event.user_id, true);
        return this.#know(event.user_id, { is_online: true });
      case 'user_offline':
        this.#comes(id, event.user_id, false);
        return this.#know(event.user_id, { is_online: false, last_seen: event.last_seen });
      case 'error':
        if (!event.client_id && event.code !== 'rate_limited') this.toast(reason(event));
        return;
      default:
        return this.#inChat(id, event);
    }
  }

  #inChat(id, event) {
    this.#conversations.get(id)?.apply(event);
    const chat = this.chat(id);
    if (!chat) return;
    switch (event.type) {
      case 'message':
        this.#endTyping(id, event.data.sender.id);
        this.#update(id, { last_message: event.data, last_seq: event.seq, updated_at: event.data.timestamp });
        this.#count(id, event.data);
        if (this.support.has(id)) this.#askSupport();
        if (event.data.sender.id !== this.me.id) this.announcement = `${event.data.sender.username}: ${event.data.text}`;
        break;
      case 'message_edited':
      case 'message_deleted':
        if (chat.last_message?.id === event.message_id) this.#update(id, { last_message: event.data });
        break;
      case 'chat_updated':
        this.#update(id, { name: event.data.name, is_private: event.data.is_private });
        break;
      case 'member_joined':
      case 'member_left':
        if (chat.members) {
          const others = chat.members.filter((member) => member.id !== event.user.id);
          this.#update(id, { members: event.type === 'member_joined' ? [...others, event.user] : others });
        }
        break;
      case 'member_changed':
        if (event.user.id === this.me.id) this.#update(id, { role: event.role });
        break;
    }
  }

  /** What is unread is told by the service at most once a second; until then it is counted here. */
  #count(id, message) {
    const chat = this.chat(id);
    const isOwn = message.sender.id === this.me.id;
    if (!isOwn) this.#update(id, { unread_count: chat.unread_count + 1 });
    else if (!this.support.has(id)) this.#update(id, { unread_count: 0 });
  }

  #put(chat) {
    this.chats.set(chat.id, chat);
  }

  #update(id, more) {
    const map = this.support.has(id) ? this.support : this.chats;
    const chat = map.get(id);
    if (chat) map.set(id, { ...chat, ...more });
  }

  #drop(id) {
    this.chats.delete(id);
    this.support.delete(id);
    this.#conversations.delete(id);
    this.#present.delete(id);
  }

  /** Whether a support chat is one that this operator answers, rather than their own. */
  #isDesk(chat) {
    return this.me.is_staff && !this.chats.has(chat.id);
  }

  #reconcile(chats) {
    for (const { id, unread_count: unread, kind } of chats) {
      if (this.chat(id)) this.#update(id, { unread_count: unread });
      else if (kind === 'support') this.#askSupport();
      else void this.refresh(id);
    }
  }

  /** Reads one chat anew. */
  async refresh(id) {
    try {
      const chat = await this.client.request('GET', `/api/chats/${id}/`);
      if (!this.support.has(id)) this.#put(chat);
      this.changed();
    } catch (error) {
      if (error.status === 404) this.#drop(id);
    }
  }

  async #loadSupport(client) {
    const open = await this.#all(client, '/api/support/chats/');
    this.support.clear();
    for (const chat of open) {
      this.support.set(chat.id, chat);
      this.chats.delete(chat.id);
    }
    this.changed();
  }

  /** Who waits, and since when, is the service's to say; asked once for each burst. */
  #askSupport() {
    if (!this.me.is_staff) return;
    clearTimeout(this.#supportTimer);
    this.#supportTimer = setTimeout(() => void this.#loadSupport(this.client).catch(() => {}), 150);
  }

  // ── who is there ─────────────────────────────────────────────────────────────────────────────

  #comes(id, user, isThere) {
    const present = this.#present.get(id) ?? { users: new Set(), count: 0 };
    const had = present.users.has(user);
    if (isThere) present.users.add(user);
    else present.users.delete(user);
    if (had !== isThere) present.count += isThere ? 1 : -1;
    this.#present.set(id, present);
    if (!isThere) this.#endTyping(id, user);
  }

  #nobodyIsThere() {
    this.#present.clear();
    this.#typing.clear();
  }

  present(id) {
    return this.#present.get(id);
  }

  /** Whether the other one of a personal chat is there. */
  isThere(chat) {
    const other = this.other(chat);
    return Boolean(other && this.#present.get(chat.id)?.users.has(other.id));
  }

  #types({ chat_id: id, user_id: user, username, is_typing: isTyping }) {
    if (user === this.me.id) return;
    this.#endTyping(id, user);
    if (!isTyping) return;
    const timer = setTimeout(() => {
      this.#endTyping(id, user);
      this.changed();
    }, TYPING_MAX);
    if (!this.#typing.has(id)) this.#typing.set(id, new Map());
    this.#typing.get(id).set(user, { username, timer });
  }

  #endTyping(id, user) {
    const typing = this.#typing.get(id);
    clearTimeout(typing?.get(user)?.timer);
    typing?.delete(user);
  }

  /** The names of those who type. */
  typing(id) {
    return [...(this.#typing.get(id)?.values() ?? [])].map(({ username }) => username);
  }

  // ── what is shown ────────────────────────────────────────────────────────────────────────────

  chat(id) {
    return this.chats.get(id) ?? this.support.get(id);
  }

  /** One's own chats, last active first. */
  list() {
    return [...this.chats.values()].sort((a, b) => (a.updated_at < b.updated_at ? 1 : -1));
  }

  /** Customers: those who wait first, the longest waiting first. */
  desk() {
    const key = (chat) => chat.waiting_since ?? '~';
    return [...this.support.values()].sort((a, b) =>
      key(a) !== key(b) ? (key(a) < key(b) ? -1 : 1) : a.updated_at < b.updated_at ? 1 : -1,
    );
  }

  other(chat) {
    return chat.kind === 'personal' ? chat.members?.find((member) => member.id !== this.me.id) : undefined;
  }

  conversation(id) {
    const known = this.#conversations.get(id);
    if (known) return known;
    const chat = this.chat(id);
    const conversation = new Conversation(id, this.client, this.changed);
    this.#conversations.set(id, conversation);
    if (this.#conversations.size > LOADED_MAX) this.#conversations.delete(this.#conversations.keys().next().value);
    void conversation.open(chat.unread_count, this.me.id);
    return conversation;
  }

  /** Loads a chat's newest messages again: after an error, or a jump into the past. */
  reload(id) {
    this.#conversations.delete(id);
    this.changed();
  }

  /** Somebody's page, once it was asked for: nothing until then. */
  person(id) {
    if (!this.#people.has(id)) {
      this.#people.set(id, null);
      this.client?.request('GET', `/api/users/${id}/`).then(
        (person) => {
          this.#people.set(id, person);
          this.changed();
        },
        () => {},
      );
    }
    return this.#people.get(id);
  }

  #know(id, more) {
    const person = this.#people.get(id);
    if (person) this.#people.set(id, { ...person, ...more });
  }

  /** What the user changed about themselves. */
  knowMe(me) {
    this.me = me;
    this.#people.set(me.id, me);
    this.changed();
  }

  // ── what the user does ───────────────────────────────────────────────────────────────────────

  read(id, message) {
    const chat = this.chat(id);
    if (!chat || chat.unread_count === 0 || this.connection.state !== 'online') return;
    this.client.read(id, message.id);
    this.#update(id, { unread_count: 0 });
    this.changed();
  }

  async create(body) {
    const chat = await this.client.request('POST', '/api/chats/', body);
    if (!this.chat(chat.id)) this.#put(chat);
    this.changed();
    return chat;
  }

  /** Enters a room, which is made where there is none: a room is entered through its own socket. */
  enterRoom(name) {
    const access = tokens.get()?.access ?? '';
    const key = roomKey(name);
    const known = [...this.chats.values()].find((chat) => chat.kind === 'room' && roomKey(chat.name) === key);
    if (known) return Promise.resolve(known);
    return new Promise((resolve, reject) => {
      const url = `${location.origin.replace('http', 'ws')}/ws/room/${encodeURIComponent(name)}/?history=0`;
      const socket = new WebSocket(url, ['bearer', access]);
      const done = (settle, value) => {
        this.#joining.delete(key);
        settle(value);
        socket.close();
      };
      this.#joining.set(key, (chat) => done(resolve, chat));
      socket.onclose = ({ code }) => code === 1000 || done(reject, { code, message: t('roomRefused') });
    });
  }

  async block(user, isBlocked) {
    await this.client.request(isBlocked ? 'PUT' : 'DELETE', `/api/users/${user}/block/`);
    blocks.set(this.me.id, user, isBlocked);
    this.blocked = blocks.list(this.me.id);
    this.changed();
  }

  /** Does something that may fail, and says so. */
  async attempt(deed) {
    try {
      return await deed();
    } catch (error) {
      if (!(error instanceof SignedOut)) this.toast(reasonOf(error));
      return undefined;
    }
  }

  toast(text) {
    const toast = { text };
    this.toasts = [...this.toasts.slice(-2), toast];
    setTimeout(() => {
      this.toasts = this.toasts.filter((other) => other !== toast);
      this.changed();
    }, TOAST);
    this.changed();
  }
}
