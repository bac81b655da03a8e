// Who is signed in: keeps the tokens, renews the access token, asks REST.

import { ApiError, SignedOut } from './errors.js';

const SECOND = 1000;
/** A token is renewed this long before its end. */
export const TOKEN_MARGIN = 30 * SECOND;
/**
 * A session that has ended may have a successor, whose tokens are on their way: whoever changes the password, here or in
 * another tab, is answered with them. They are looked for this long.
 */
const SUCCESSOR_MAX = 2 * SECOND;
const LOOK_EVERY = 0.1 * SECOND;

/** A user's session with one service. */
export class Session {
  #renewing = null;
  /** The newest token, and until when it is good by this machine's clock. */
  #fresh = { access: null, until: 0 };

  constructor(url, tokens, fetch, onSignedOut) {
    this.url = url;
    this.tokens = tokens;
    this.fetch = fetch;
    this.onSignedOut = onSignedOut;
  }

  /** An access token that is good for a while. */
  async access() {
    const tokens = this.tokens.get();
    if (!tokens) throw this.#end();
    return this.goodFor(tokens.access) > TOKEN_MARGIN ? tokens.access : this.renew(tokens.access);
  }

  /** How much longer a token is good, in ms. */
  goodFor(access) {
    if (access === this.#fresh.access) return this.#fresh.until - Date.now();
    const { exp } = claims(access);
    return exp === undefined ? Infinity : exp * SECOND - Date.now();
  }

  /** A new access token in the place of `stale`; asked for once, however many want one. */
  renew(stale) {
    this.#renewing ??= this.#renew(stale).finally(() => (this.#renewing = null));
    return this.#renewing;
  }

  async #renew(stale) {
    const tokens = this.tokens.get();
    if (!tokens) throw this.#end();
    // Another tab was faster.
    if (tokens.access !== stale && this.goodFor(tokens.access) > TOKEN_MARGIN) return tokens.access;
    const response = await this.#call('POST', '/api/token/refresh/', { refresh: tokens.refresh });
    if (response.status === 401) {
      if (await this.#staysStored(tokens)) throw this.#end();
      return this.#renew(tokens.access);
    }
    const body = await readBody(response);
    if (!response.ok) throw new ApiError(response.status, body, retryAfter(response));
    // Signed out meanwhile, or in anew: what is stored now counts.
    if (!this.#isStored(tokens)) return this.#renew(tokens.access);
    const { exp, iat } = claims(body.access);
    // By its lifetime, not by its date: this machine's clock may be wrong.
    if (exp && iat) this.#fresh = { access: body.access, until: Date.now() + (exp - iat) * SECOND };
    this.tokens.set({ ...tokens, ...body });
    return body.access;
  }

  #isStored({ refresh }) {
    return this.tokens.get()?.refresh === refresh;
  }

  async #staysStored(tokens) {
    const end = Date.now() + SUCCESSOR_MAX;
    while (this.#isStored(tokens) && Date.now() < end) await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY));
    return this.#isStored(tokens);
  }

  #end() {
    this.tokens.set(null);
    this.onSignedOut();
    return new SignedOut();
  }

  #call(method, path, body, access) {
    const headers = {};
    if (access) headers.Authorization = `Bearer ${access}`;
    const isForm = typeof FormData !== 'undefined' && body instanceof FormData;
    const isFile = typeof Blob !== 'undefined' && body instanceof Blob;
    if (isFile && body.type) headers['Content-Type'] = body.type;
    if (body !== undefined && !isForm && !isFile) {
      headers['Content-Type'] = 'application/json';
      body = JSON.stringify(body);
    }
    return this.fetch(this.url + path, { method, headers, body });
  }

  /** Asks REST as the user; what it says, or `ApiError`. */
  async request(method, path, body) {
    let access = await this.access();
    let response = await this.#call(method, path, body, access);
    if (response.status === 401) {
      access = await this.renew(access);
      response = await this.#call(method, path, body, access);
    }
    const answer = await readBody(response);
    if (!response.ok) throw new ApiError(response.status, answer, retryAfter(response));
    return answer;
  }
}

export async function readBody(response) {
  const text = await response.text();
  try {
    return text ? JSON.parse(text) : null;
  } catch {
    return text;
  }
}

export function retryAfter(response) {
  const seconds = Number(response.headers.get('Retry-After'));
  return seconds > 0 ? seconds : undefined;
}

function claims(token) {
  try {
    return JSON.parse(atob(token.split('.')[1].replace(/-/g, '+').replace(/_/g, '/')));
  } catch {
    return {}; // not one of ours: good until it is refused
  }
}

/** Tokens that are given once are kept here; a store that is given keeps them itself. */
export function tokenStore(given) {
  if (given && typeof given.get === 'function') return given;
  let tokens = given ?? null;
  return { get: () => tokens, set: (next) => void (tokens = next) };
}
