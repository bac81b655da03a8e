// One chat as it is read: a run of its messages without a gap, which grows at both ends, and what belongs to them.

const PAGE = 50;
/** As many as the service gives at once. */
const PAGE_MAX = 100;
/** An address is good for longer than this: one that doesn't work then never will. */
const RENEWED_FOR = 60_000;
/** After history that couldn't be loaded, in ms; doubled each time, up to the longest. */
const PAUSE_FIRST = 1000;
const PAUSE_MAX = 30_000;
/** Chats whose members are asked for with how far they have read. */
const MEMBERS_SHOWN = 100;

export class Conversation {
  messages = [];
  /** What happened between the messages, by number: who came, who went. */
  notices = [];
  hasOlder = true;
  /** Whether the run ends before the chat does: after a jump into the past. */
  hasNewer = false;
  isLoading = false;
  isLoaded = false;
  error = null;
  /** Message id to emoji to user id to name. */
  reactions = new Map();
  /** How far each member has read. */
  marks = new Map();
  members = null;
  /** The first message that was unread when the chat was opened. */
  firstUnread = null;
  #byId = new Map();
  /** What happened while a page was on its way: it may have been written before. */
  #early = [];
  #loading = null;
  /** Until it ends no more is asked for: the last time failed. */
  #pause = null;
  #failures = 0;
  #renewed = new Map();
  /** The last number that spoke of a reaction: what is loaded may be older than what was heard. */
  #spoken = new Map();
  #client;
  #changed;

  constructor(chat, client, changed) {
    this.chat = chat;
    this.#client = client;
    this.#changed = changed;
  }

  find(id) {
    return this.#byId.get(id);
  }

  /** Loads the newest page, with all that is unread where it fits. */
  async open(unread, me) {
    await this.#load(async () => {
      const pageSize = Math.min(PAGE_MAX, Math.max(PAGE, unread + PAGE / 2));
      const page = await this.#client.history(this.chat, { pageSize });
      this.#replace(page.messages);
      this.hasOlder = page.hasOlder;
      this.hasNewer = false;
      this.isLoaded = true;
      this.firstUnread = this.#unreadFrom(unread, me);
    });
    if (this.isLoaded) await Promise.all([this.loadMembers(), this.#loadChanges()]).catch(() => {});
  }

  /** Only one page is on its way at a time. What comes back is what went wrong. */
  async #load(load) {
    this.isLoading = true;
    this.error = null;
    this.#changed();
    this.#loading = load().then(() => null, (error) => error);
    const error = await this.#loading;
    this.error = error;
    this.isLoading = false;
    for (const event of this.#early.splice(0)) this.apply(event);
    this.#changed();
    return error;
  }

  /** Loads more at one end. Where that fails, it is asked for again at the next drawing after a pause. */
  async #more(load) {
    if (this.isLoading || this.#pause) return;
    await this.#load(async () => {
      try {
        await load();
        this.#failures = 0;
      } catch (error) {
        this.#rest(error.retryAfter);
        throw error;
      }
    });
  }

  #rest(seconds = 0) {
    const pause = Math.max(seconds * 1000, Math.min(PAUSE_MAX, PAUSE_FIRST * 2 ** this.#failures));
    this.#failures += 1;
    this.#pause = setTimeout(() => {
      this.#pause = null;
      this.#changed();
    }, pause);
  }

  /** The service is there again: what failed may be asked for at once. */
  resume() {
    clearTimeout(this.#pause);
    this.#pause = null;
    this.#failures = 0;
  }

  async older() {
    if (!this.hasOlder || this.messages.length === 0) return;
    await this.#more(async () => {
      const page = await this.#client.history(this.chat, { before: this.messages[0].id, pageSize: PAGE_MAX });
      this.#merge(page.messages.reverse(), 'before');
      this.hasOlder = page.hasOlder;
    });
  }

  async newer() {
    if (!this.hasNewer) return;
    await this.#more(async () => {
      const page = await this.#client.history(this.chat, { after: this.messages.at(-1).id, pageSize: PAGE_MAX });
      this.#merge(page.messages.reverse(), 'after');
      this.hasNewer = page.hasNewer && page.messages.length > 0;
    });
  }

  /** Goes to where a message is, wherever that is; what goes wrong is thrown. */
  async around(id) {
    while (this.isLoading) await this.#loading;
    if (this.#byId.has(id)) return;
    const error = await this.#load(async () => {
      // Ids are those of all chats: only those that were told of are places in this one.
      const [before, message, after] = await Promise.all([
        this.#client.history(this.chat, { before: id, pageSize: PAGE }),
        this.#message(id),
        this.#client.history(this.chat, { after: id, pageSize: PAGE }),
      ]);
      this.#replace([...after.messages, message, ...before.messages]);
      this.hasOlder = before.hasOlder;
      this.hasNewer = after.hasNewer;
    });
    if (error) throw error;
  }

  #message(id) {
    return this.#client.request('GET', `/api/chats/${this.chat}/messages/${id}/`);
  }

  /** A message as it is now, with a new address of its file. */
  async renew(id) {
    if (Date.now() - (this.#renewed.get(id) ?? 0) < RENEWED_FOR) return this.find(id);
    this.#renewed.set(id, Date.now());
    const message = await this.#message(id);
    this.#put(message);
    this.#changed();
    return message;
  }

  /** How far everybody has read. */
  async loadMembers() {
    const path = `/api/chats/${this.chat}/members/?page_size=${MEMBERS_SHOWN}`;
    const page = await this.#client.request('GET', path);
    this.members = page.results;
    this.memberCount = page.count;
    for (const { user, last_read_seq: seq } of page.results) this.#mark(user.id, seq);
    this.#changed();
  }

  /** Reactions and comings and goings since the first message of the newest page. */
  async #loadChanges() {
    if (this.messages.length === 0) return;
    const since = this.messages[0].seq - 1;
    const { results } = await this.#client.request('GET', `/api/chats/${this.chat}/events/?since=${since}`);
    for (const event of results) this.#side(event);
    this.#changed();
  }

  /** Where the unread messages begin, counted from the run's end; nowhere, where they begin before it. */
  #unreadFrom(unread, me) {
    let left = unread;
    let first = null;
    for (let at = this.messages.length - 1; at >= 0 && left > 0; at--) {
      const message = this.messages[at];
      if (message.sender.id === me || message.is_deleted) continue;
      first = message.id;
      left -= 1;
    }
    return left === 0 ? first : null;
  }

  #replace(newestFirst) {
    this.messages = newestFirst.reverse();
    this.#byId = new Map(this.messages.map((message) => [message.id, message]));
  }

  #merge(messages, where) {
    const fresh = messages.filter(({ id }) => !this.#byId.has(id));
    for (const message of fresh) this.#byId.set(message.id, message);
    this.messages = where === 'before' ? [...fresh, ...this.messages] : [...this.messages, ...fresh];
  }

  /** An event of this chat. */
  apply(event) {
    if (this.isLoading && event.data?.sender) this.#early.push(event);
    switch (event.type) {
      case 'message':
        if (!this.hasNewer && this.isLoaded && event.seq > (this.messages.at(-1)?.seq ?? 0)) this.#merge([event.data], 'after');
        break;
      case 'message_edited':
      case 'message_deleted':
        this.#put(event.data);
        break;
      default:
        this.#side(event);
    }
  }

  #put(message) {
    const at = this.messages.findIndex(({ id }) => id === message.id);
    if (at < 0) return;
    this.messages = this.messages.with(at, message);
    this.#byId.set(message.id, message);
    if (message.is_deleted) this.reactions.delete(message.id);
  }

  #side(event) {
    switch (event.type) {
      case 'reaction_added':
        if (this.#isNews(event)) this.#reaction(event).set(event.user_id, event.username);
        break;
      case 'reaction_removed': {
        if (!this.#isNews(event)) break;
        const users = this.#reaction(event);
        users.delete(event.user_id);
        if (users.size === 0) this.reactions.get(event.message_id).delete(event.emoji);
        break;
      }
      case 'messages_read':
        this.#mark(event.user_id, event.last_read_seq);
        break;
      case 'member_joined':
      case 'member_left':
      case 'chat_updated':
        if (!this.notices.some(({ seq }) => seq === event.seq)) {
          this.notices = [...this.notices, event].sort((a, b) => a.seq - b.seq);
        }
        if (event.user) this.#member(event);
        break;
      case 'member_changed':
        this.#member(event);
        break;
    }
  }

  #isNews({ message_id: id, user_id: user, emoji, seq }) {
    const key = `${id} ${user} ${emoji}`;
    if (seq <= (this.#spoken.get(key) ?? 0)) return false;
    this.#spoken.set(key, seq);
    return true;
  }

  #reaction({ message_id: id, emoji }) {
    if (!this.reactions.has(id)) this.reactions.set(id, new Map());
    const tally = new Map(this.reactions.get(id)); // another one, so that its message is drawn anew
    this.reactions.set(id, tally);
    const users = new Map(tally.get(emoji));
    tally.set(emoji, users);
    return users;
  }

  #mark(user, seq) {
    this.marks.set(user, Math.max(seq, this.marks.get(user) ?? 0));
  }

  #member({ type, user, role, seq }) {
    if (!this.members) return;
    const others = this.members.filter((member) => member.user.id !== user.id);
    const was = this.members.find((member) => member.user.id === user.id);
    this.members = type === 'member_left' ? others : [...others, { ...was, user, role }];
    if (type === 'member_joined' && !was) this.#mark(user.id, seq);
  }

  /** Up to which number anybody else has read. */
  readBy(me) {
    const marks = [...this.marks].filter(([user]) => user !== me).map(([, seq]) => seq);
    return Math.max(0, ...marks);
  }

  /** Who else has read a message. */
  readersOf({ seq }, me) {
    const members = this.members ?? [];
    return members.map(({ user }) => user).filter(({ id }) => id !== me && (this.marks.get(id) ?? 0) >= seq);
  }
}
