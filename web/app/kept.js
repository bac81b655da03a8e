// What this browser keeps between two visits: tokens, drafts, choices.

const TOKENS = 'tertulia.tokens';

/** Shared by all tabs: who signs in or out in one does so in all. */
export const tokens = {
  get() {
    try {
      return JSON.parse(localStorage.getItem(TOKENS));
    } catch {
      return null;
    }
  },
  set(value) {
    if (value) localStorage.setItem(TOKENS, JSON.stringify({ access: value.access, refresh: value.refresh }));
    else localStorage.removeItem(TOKENS);
  },
  /** Calls `listener` when another tab has signed in or out. */
  onElsewhere(listener) {
    addEventListener('storage', ({ key, oldValue, newValue }) => {
      if (key === TOKENS && !oldValue !== !newValue) listener();
    });
  },
};

const draftKey = (user, chat) => `tertulia.draft.${user}.${chat}`;

export const drafts = {
  get: (user, chat) => localStorage.getItem(draftKey(user, chat)) ?? '',
  set(user, chat, text) {
    if (text.trim()) localStorage.setItem(draftKey(user, chat), text);
    else localStorage.removeItem(draftKey(user, chat));
  },
};

/** Whom this user has blocked from this browser: the service tells nobody whom they block. */
export const blocks = {
  key: (user) => `tertulia.blocked.${user}`,
  list(user) {
    return new Set(JSON.parse(localStorage.getItem(this.key(user)) ?? '[]'));
  },
  set(user, other, isBlocked) {
    const blocked = this.list(user);
    if (isBlocked) blocked.add(other);
    else blocked.delete(other);
    localStorage.setItem(this.key(user), JSON.stringify([...blocked]));
  },
};

const THEME = 'tertulia.theme';

/** `auto` follows the system. */
export const theme = {
  get: () => localStorage.getItem(THEME) ?? 'auto',
  set(value) {
    localStorage.setItem(THEME, value);
    this.apply();
  },
  apply() {
    document.documentElement.dataset.theme = this.get();
  },
};
