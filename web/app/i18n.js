// What the page says, in the reader's language: words, plurals, names of days and times.

import { en } from './words/en.js';
import { ru } from './words/ru.js';

const WORDS = { en, ru };
const KEY = 'tertulia.language';

export const LANGUAGES = [
  { code: 'en', name: 'English' },
  { code: 'ru', name: 'Русский' },
];

let language = first();
let formats = {};
choose(language);

function first() {
  const kept = localStorage.getItem(KEY);
  if (WORDS[kept]) return kept;
  const wanted = navigator.languages ?? [navigator.language];
  return wanted.map((tag) => tag.slice(0, 2)).find((code) => WORDS[code]) ?? 'en';
}

function choose(code) {
  language = code;
  document.documentElement.lang = code;
  // The reader's own country, where they speak that language: its clock has twelve hours or twenty-four.
  const locale = (navigator.languages ?? []).find((tag) => tag.startsWith(code)) ?? code;
  const format = (options) => new Intl.DateTimeFormat(locale, options);
  formats = {
    time: format({ hour: 'numeric', minute: '2-digit' }),
    weekday: format({ weekday: 'long' }),
    shortWeekday: format({ weekday: 'short' }),
    day: format({ day: 'numeric', month: 'long' }),
    shortDay: format({ day: 'numeric', month: 'short' }),
    dayOfYear: format({ day: 'numeric', month: 'long', year: 'numeric' }),
    number: new Intl.NumberFormat(code),
    plural: new Intl.PluralRules(code),
  };
}

export function currentLanguage() {
  return language;
}

export function setLanguage(code) {
  localStorage.setItem(KEY, code);
  choose(code);
}

/** A sentence with its places filled in; of several forms, the one that goes with `count`. */
export function t(key, places = {}) {
  const entry = WORDS[language][key] ?? WORDS.en[key] ?? key;
  const text = typeof entry === 'string' ? entry : (entry[formats.plural.select(places.count)] ?? entry.other);
  return text.replace(/\{(\w+)\}/g, (_, name) => (name === 'count' ? number(places.count) : places[name]));
}

export function number(value) {
  return formats.number.format(value);
}

export function time(date) {
  return formats.time.format(date);
}

function daysAgo(date) {
  const midnight = (of) => new Date(of.getFullYear(), of.getMonth(), of.getDate());
  return Math.round((midnight(new Date()) - midnight(date)) / 86_400_000);
}

/** As it stands between the messages of two days. */
export function day(date) {
  const ago = daysAgo(date);
  if (ago === 0) return t('today');
  if (ago === 1) return t('yesterday');
  return (date.getFullYear() === new Date().getFullYear() ? formats.day : formats.dayOfYear).format(date);
}

/** As it stands in a list: the time of today, the weekday of this week, the date before. */
export function brief(date) {
  const ago = daysAgo(date);
  if (ago === 0) return time(date);
  return (ago < 7 ? formats.shortWeekday : formats.shortDay).format(date);
}

/** "12 minutes", rounded to what matters. */
export function duration(ms) {
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 1) return t('lessThanMinute');
  if (minutes < 60) return t('minutes', { count: minutes });
  if (minutes < 60 * 24) return t('hours', { count: Math.floor(minutes / 60) });
  return t('days', { count: Math.floor(minutes / 60 / 24) });
}

/** When somebody was here last. */
export function lastSeen(date) {
  const ago = Date.now() - date;
  if (ago < 60_000) return t('seenJustNow');
  if (daysAgo(date) === 0) return t('seenAt', { time: time(date) });
  return t('seenOn', { day: day(date).toLowerCase() });
}
