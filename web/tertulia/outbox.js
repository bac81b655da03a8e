// What was sent and isn't known to be stored.

import { SendError } from './errors.js';

const SECOND = 1000;
/** The first pause after a refusal that passes by itself; doubled each time, up to the longest. */
const PAUSE_FIRST = 0.5 * SECOND;
const PAUSE_MAX = 30 * SECOND;
/** Refusals that pass by themselves. */
export const PASSING = new Set(['rate_limited', 'unavailable', 'internal']);

/** One key of the storage for each message, so that tabs don't overwrite each other's. */
export class Outbox {
  #entries = new Map();
  #waiting = new Map();
  #paused = 0;
  #failures = 0;

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
      this.#entries.set(entry.clientId, { ...entry, state: 'waiting' });
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
    this.#keep(entry);
    const sent = new Promise((resolve, reject) => this.#waiting.set(clientId, { resolve, reject }));
    sent.catch(() => {}); // whoever doesn't ask reads it off the outbox
    this.onChange();
    return sent;
  }

  #keep({ clientId, chat, text, replyTo, at }) {
    if (!this.prefix) return;
    try {
      this.storage.setItem(this.prefix + clientId, JSON.stringify({ clientId, chat, text, replyTo, at }));
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
      Object.assign(entry, { state: 'failed', code, error: message });
      this.#waiting.get(clientId)?.reject(new SendError(code, message));
    }
    this.onChange();
  }

  retry(clientId) {
    const entry = this.#entries.get(clientId);
    if (entry) Object.assign(entry, { state: 'waiting', code: undefined, error: undefined });
    this.onChange();
  }

  discard(clientId) {
    this.#drop(clientId)?.reject(new SendError('discarded', 'discarded'));
    this.onChange();
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
