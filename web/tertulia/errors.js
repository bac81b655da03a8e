// What goes wrong, for whoever asked.

/** What REST refused. */
export class ApiError extends Error {
  constructor(status, body, retryAfter) {
    super(typeof body?.detail === 'string' ? body.detail : firstOf(body) ?? `HTTP ${status}`);
    this.name = 'ApiError';
    this.status = status;
    this.body = body;
    this.retryAfter = retryAfter;
  }
}

/** The session has ended: its user has to sign in again. */
export class SignedOut extends Error {
  constructor() {
    super('signed out');
    this.name = 'SignedOut';
  }
}

/** A message that will not be sent: `code` is the service's word for why, or `discarded`. */
export class SendError extends Error {
  constructor(code, message) {
    super(message);
    this.name = 'SendError';
    this.code = code;
  }
}

function firstOf(body) {
  const first = body && typeof body === 'object' ? Object.values(body)[0] : undefined;
  return Array.isArray(first) ? String(first[0]) : undefined;
}
