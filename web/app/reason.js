// Why something didn't work, in the reader's language where there is a word for it, else in the service's.

import { t } from './i18n.js';

const BY_CODE = {
  forbidden: 'notAllowed',
  internal: 'fault',
  not_found: 'gone',
  rate_limited: 'tooOften',
  text_too_long: 'tooLong',
  unavailable: 'unavailable',
};
const BY_STATUS = { 403: 'notAllowed', 404: 'gone', 429: 'tooOften', 500: 'fault', 503: 'unavailable' };

export function reason({ code, status, message, error }) {
  const key = BY_CODE[code] ?? BY_STATUS[status];
  return key ? t(key) : (message ?? error);
}

/** What a request failed with: a refusal, or no answer at all. */
export function reasonOf(error) {
  return error.status === undefined && !error.code ? t('unreachable') : reason(error);
}
