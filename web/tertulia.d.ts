// Types of tertulia.js. The frames are those of the chat dialect, each with its chat: /docs/websocket/.

export interface Tokens {
  access: string;
  refresh: string;
}

/** Where tokens are kept: one that several tabs share keeps them signed in together. */
export interface TokenStore {
  get(): Tokens | null;
  set(tokens: Tokens | null): void;
}

export interface Options {
  /** `https://chat.example.org` */
  url: string;
  /** Of `Tertulia.signIn`, or a place that keeps them. */
  tokens: Tokens | TokenStore;
  /** One chat only; without, all of the user's chats. */
  chat?: number;
  /** As staff: the open support chats too. */
  support?: boolean;
  /** The last number seen in each chat: what came after it is told first. Chats that aren't named begin now. */
  positions?: Record<number, number>;
  /** Keeps unsent messages, e.g. `localStorage`; without, they end with the program. */
  storage?: Pick<Storage, 'length' | 'key' | 'getItem' | 'setItem' | 'removeItem'>;
  /** Whose messages those in the storage are: the user's id. Without, they are looked for once connected. */
  user?: number;
  /** How the socket is signed in: `subprotocol` (the default) or `ticket`. */
  signInBy?: 'subprotocol' | 'ticket';
  /** Where there is no global one. */
  WebSocket?: unknown;
  fetch?: typeof fetch;
}

export interface Profile {
  id: number;
  username: string;
  first_name: string;
  last_name: string;
}

export interface Message {
  id: number;
  chat: number;
  seq: number;
  text: string;
  sender: Profile;
  timestamp: string;
  is_edited: boolean;
  edited_at: string | null;
  is_deleted: boolean;
  reply_to: number | null;
  content_type: string;
  attachment: unknown;
}

export interface Chat {
  id: number;
  kind: 'personal' | 'group' | 'room' | 'support';
  name: string | null;
  is_private: boolean;
  role: 'owner' | 'admin' | 'member';
  members?: Profile[];
  member_count?: number;
  last_message: Message | null;
  last_seq: number;
  unread_count: number;
  created_at: string;
  updated_at: string;
}

export type ChatHead = Pick<Chat, 'id' | 'kind' | 'name' | 'is_private' | 'created_at'> & { created_by: number };

export type State = 'closed' | 'connecting' | 'syncing' | 'online' | 'waiting' | 'signed_out';

/** A message that was sent and isn't known to be stored. */
export interface Unsent {
  clientId: string;
  chat: number;
  text: string;
  replyTo?: number;
  /** When it was sent, in ms. */
  at: number;
  state: 'waiting' | 'sending' | 'failed';
  /** Until when the service wants it to wait, in ms. */
  delayedUntil?: number;
  /** Why it failed. */
  code?: string;
  error?: string;
}

interface Numbered {
  chat_id: number;
  /** The event's own number in its chat. */
  seq: number;
}

interface ByUser {
  chat_id: number;
  user_id: number;
  username: string;
}

type Changed = Numbered & { message_id: number; data: Message };
type Reaction = Numbered & ByUser & { message_id: number; emoji: string };
type Membership = Numbered & { user: Profile; role: string; by: number };

export interface Events {
  state: { type: 'state'; state: State; code?: number; reason?: string; retryAt?: number };
  outbox: { type: 'outbox'; entries: Unsent[] };
  /** The service knows less than the caller (a restored backup): load the chat anew. */
  reset: { type: 'reset'; chat_id: number; seq: number };
  connection_established: {
    type: 'connection_established';
    user_id: number;
    username: string;
    chats?: { id: number; seq: number; unread_count: number; kind?: string }[];
  };
  message: Numbered & { type: 'message'; data: Message; client_id?: string };
  message_edited: Changed & { type: 'message_edited' };
  message_deleted: Changed & { type: 'message_deleted' };
  reaction_added: Reaction & { type: 'reaction_added' };
  reaction_removed: Reaction & { type: 'reaction_removed' };
  member_joined: Membership & { type: 'member_joined' };
  member_left: Membership & { type: 'member_left' };
  member_changed: Membership & { type: 'member_changed' };
  chat_updated: Numbered & { type: 'chat_updated'; data: ChatHead };
  chat_deleted: Numbered & { type: 'chat_deleted'; data: ChatHead };
  chat_added: { type: 'chat_added'; chat_id: number; data: Chat };
  chat_removed: { type: 'chat_removed'; chat_id: number };
  unread: { type: 'unread'; chat_id: number; unread_count: number };
  typing: ByUser & { type: 'typing'; is_typing: boolean };
  messages_read: ByUser & { type: 'messages_read'; last_read_message_id: number | null; last_read_seq: number };
  presence: { type: 'presence'; chat_id: number; users?: { id: number; username: string }[]; count?: number };
  user_online: ByUser & { type: 'user_online'; last_seen: null };
  user_offline: ByUser & { type: 'user_offline'; last_seen: string };
  error: { type: 'error'; message: string; code: string; chat_id?: number; client_id?: string; retry_after?: number };
}

export class ApiError extends Error {
  status: number;
  body: unknown;
  /** In seconds. */
  retryAfter?: number;
}

export class SignedOut extends Error {}

export class SendError extends Error {
  /** The service's word for why, or `discarded`. */
  code: string;
}

export class Tertulia {
  constructor(options: Options);
  static signIn(url: string, username: string, password: string, fetch?: typeof globalThis.fetch): Promise<Tokens>;

  readonly state: State;
  /** What was sent and isn't known to be stored, oldest first. */
  readonly outbox: Unsent[];
  /** Who is signed in, once connected. */
  user?: { id: number; username: string };

  /** Connects, and stays connected until `close`. */
  connect(): this;
  close(): void;
  /** Comes back now, without waiting. */
  reconnect(): void;
  /** Calls `listener` with every such event (`*`: with all); what comes back ends it. */
  on<T extends keyof Events>(type: T, listener: (event: Events[T]) => void): () => void;
  on(type: '*', listener: (event: Events[keyof Events]) => void): () => void;
  /** The last number seen in a chat. */
  position(chat: number): number | undefined;

  /** Sends a message, now or once there is a connection; `sent` is the message as it is stored. */
  send(
    chat: number,
    text: string,
    options?: { replyTo?: number; clientId?: string },
  ): { clientId: string; sent: Promise<Message> };
  retry(clientId: string): void;
  discard(clientId: string): void;
  typing(chat: number, isTyping?: boolean): boolean;
  /** Marks as read, up to a message or all of them. */
  read(chat: number, upTo?: number): boolean;

  /** Asks REST as the user. */
  request<T = unknown>(method: string, path: string, body?: unknown): Promise<T>;
  /** A page of history, the newest first: the last one, or what lies before or after a message. */
  history(
    chat: number,
    place?: { before?: number; after?: number; pageSize?: number },
  ): Promise<{ messages: Message[]; hasOlder: boolean; hasNewer: boolean }>;
  edit(chat: number, message: number, text: string): Promise<Message>;
  remove(chat: number, message: number): Promise<void>;
  react(chat: number, message: number, emoji: string, isOn?: boolean): Promise<unknown>;
  /** Changes the password. That ends all sessions of the user; this client goes on in a new one. */
  changePassword(oldPassword: string, newPassword: string): Promise<void>;
  /** Ends the session, here and on the service. */
  signOut(): Promise<void>;
}
