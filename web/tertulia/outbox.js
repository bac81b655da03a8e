// What was sent and isn't known to be stored.

import { SendError } from './errors.js';

const SECOND = 1000;
/** The first pause after a refusal that passes by itself; doubled each time, up to the longest. */
const PAUSE_FIRST = 0.5 * SECOND;
const PAUSE_MAX = 30 * SECOND;
/** Refusals that pass by themselves. */
export const PASSING = new Set(['rate_limited', 'unavailable', 'internal']);
/** A frame was larger than the service takes. Which size that is, is a setting of the service (1 KiB to 16 MiB). */
const TOO_BIG = 1009;
/** The connection ended without a word. */
const CUT = 1006;
/** A text of fewer bytes than this is never too big, one of more is perhaps. */
const SMALL = 512;
const LARGE = 60 * 1024;
/** As often may the line be cut under a large text: the word that it is too big may be lost with the line. */
const CUTS_MAX = 3;
const TOO_LONG = { code: 'text_too_long', message: 'Message text is larger than the service takes' };

/** One key of the storage for each message, so that tabs don't overwrite each other's. */
export class Outbox {
  #entries = new Map();
  #waiting = new Map();
  #paused = 0;
  #failures = 0;
  /** The largest text that isn't known to be too big. */
  #bytesMax = Infinity;
  #cuts = new WeakMap();

  constructor(storage, onChange) {
    this.storage = storage;
    this.onChange = onChange;
  }

  /** Reads what an earlier run of this user left. */
  open(user) {
    if (this.prefix) return;
    this.prefix = `tertulia.out.${user}.`;
    const keys = Array.from({ length: this.storage.length ?? 0 }, (_, at) => this.storage.key(at));
    const left = keys.filter((key) => key?.startsWith(this.prefix)).map((key) => parse(this.storage.getItem(key)));
    for (const entry of left.filter(Boolean).sort((a, b) => a.at - b.at)) {
      this.#entries.set(entry.clientId, { ...entry, state: entry.state ?? 'waiting' });
    }
    for (const entry of this.#entries.values()) this.#keep(entry);
    this.onChange();
  }

  list() {
    return [...this.#entries.values()].sort((a, b) => a.at - b.at);
  }

  add(chat, text, replyTo, clientId) {
    const entry = { clientId, chat, text, replyTo, at: Date.now(), state: 'waiting' };
    this.#entries.set(clientId, entry);
    const sent = new Promise((resolve, reject) => this.#waiting.set(clientId, { resolve, reject }));
    sent.catch(() => {}); // whoever doesn't ask reads it off the outbox
    this.#wait(entry);
    this.onChange();
    return sent;
  }

  /** It goes when it may, unless it is known to be too big. */
  #wait(entry) {
    if (bytesOf(entry) > this.#bytesMax) return this.#fail(entry, TOO_LONG);
    Object.assign(entry, { state: 'waiting', code: undefined, error: undefined });
    return this.#keep(entry);
  }

  /** It goes no more, also after a reload, until its sender says so. */
  #fail(entry, { code, message }) {
    Object.assign(entry, { state: 'failed', code, error: message });
    this.#keep(entry);
    this.#waiting.get(entry.clientId)?.reject(new SendError(code, message));
  }

  #keep({ clientId, chat, text, replyTo, at, state, code, error }) {
    if (!this.prefix) return;
    const refusal = state === 'failed' ? { state, code, error } : {};
    try {
      this.storage.setItem(this.prefix + clientId, JSON.stringify({ clientId, chat, text, replyTo, at, ...refusal }));
    } catch {
      // Full or forbidden: kept until the page is closed.
    }
  }

  #drop(clientId) {
    this.#entries.delete(clientId);
    if (this.prefix) this.storage.removeItem(this.prefix + clientId);
    const waiting = this.#waiting.get(clientId);
    this.#waiting.delete(clientId);
    return waiting;
  }

  /** It is stored. */
  settle(clientId, message) {
    if (!this.#entries.has(clientId)) return false;
    this.#failures = 0;
    this.#drop(clientId)?.resolve(message);
    return true;
  }

  /** It was refused: once more after a while, or not at all. */
  refuse(clientId, { code, message, retry_after: retryAfter }, again) {
    const entry = this.#entries.get(clientId);
    if (!entry) return;
    if (PASSING.has(code)) {
      entry.state = 'waiting';
      const pause = retryAfter ? retryAfter * SECOND : Math.min(PAUSE_MAX, PAUSE_FIRST * 2 ** ++this.#failures);
      this.#paused = Math.max(this.#paused, Date.now() + pause);
      entry.delayedUntil = this.#paused;
      setTimeout(again, this.#paused - Date.now() + 10);
    } else {
      this.#fail(entry, { code, message });
    }
    this.onChange();
  }

  retry(clientId) {
    const entry = this.#entries.get(clientId);
    if (entry) this.#wait(entry);
    this.onChange();
  }

  discard(clientId) {
    this.#drop(clientId)?.reject(new SendError('discarded', 'discarded'));
    this.onChange();
  }

  /** Drops what was refused in chats that the user isn't in any more. */
  forget(isGone) {
    const gone = this.list().filter(({ state, chat }) => state === 'failed' && isGone(chat));
    for (const { clientId } of gone) this.#drop(clientId);
    if (gone.length > 0) this.onChange();
  }

  /** The connection ended, perhaps over a text's size: then it would end so again. Whether that is mended. */
  blame(code) {
    const sent = this.list().filter(({ state }) => state === 'sending');
    const [largest] = sent.map((entry) => ({ entry, bytes: bytesOf(entry) })).sort((a, b) => b.bytes - a.bytes);
    if (!largest || largest.bytes < SMALL) return false;
    const { entry, bytes } = largest;
    if (code === TOO_BIG) this.#bytesMax = Math.min(this.#bytesMax, bytes - 1);
    else if (code !== CUT || bytes < LARGE || this.#cut(entry) < CUTS_MAX) return false;
    this.#fail(entry, TOO_LONG);
    this.onChange();
    return true;
  }

  #cut(entry) {
    this.#cuts.set(entry, (this.#cuts.get(entry) ?? 0) + 1);
    return this.#cuts.get(entry);
  }

  /** The connection is gone: whatever was under way goes again. */
  rewind() {
    for (const entry of this.#entries.values()) if (entry.state === 'sending') entry.state = 'waiting';
  }

  /** What may go now: one of each chat, so that they are stored in their order. */
  due() {
    if (Date.now() < this.#paused) return [];
    const busy = new Set();
    const due = [];
    for (const entry of this.list()) {
      if (entry.state === 'failed' || busy.has(entry.chat)) continue;
      busy.add(entry.chat);
      if (entry.state === 'waiting') due.push(entry);
    }
    for (const entry of due) Object.assign(entry, { state: 'sending', delayedUntil: undefined });
    return due;
  }
}

/** What a text takes in a frame. */
function bytesOf({ text }) {
  return new TextEncoder().encode(JSON.stringify(text)).length;
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** A storage that ends with the program. */
export function memory() {
  const items = new Map();
  return {
    get length() {
      return items.size;
    },
    key: (at) => [...items.keys()][at] ?? null,
    getItem: (key) => items.get(key) ?? null,
    setItem: (key, value) => void items.set(key, value),
    removeItem: (key) => void items.delete(key),
  };
}
