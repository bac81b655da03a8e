// Text stays text: what a message says is cut into plain strings and links, never parsed as markup.

const LINK = /\bhttps?:\/\/[^\s<>"'`]+/gi;
/** Ends a sentence rather than an address. */
const TAIL = /[.,:;!?…)\]}»”']+$/u;

/** The parts of a text: strings, and `{ href, text }` for addresses that a browser may open. */
export function parts(text) {
  const found = [];
  let end = 0;
  for (const match of text.matchAll(LINK)) {
    let shown = match[0].replace(TAIL, '');
    // `(see https://example.org/a_(b))`: a bracket that the address opened is its own.
    if (shown.includes('(') && match[0][shown.length] === ')') shown += ')';
    const href = address(shown);
    if (!href) continue;
    if (match.index > end) found.push(text.slice(end, match.index));
    found.push({ href, text: shown });
    end = match.index + shown.length;
  }
  if (end < text.length) found.push(text.slice(end));
  return found;
}

function address(text) {
  try {
    const url = new URL(text);
    return ['http:', 'https:'].includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

/** One to three emoji and nothing else: shown large. */
export function isOnlyEmoji(text) {
  return /^(?:\p{Extended_Pictographic}(?:\uFE0F|\u200D\p{Extended_Pictographic}|[\u{1F3FB}-\u{1F3FF}])*\s*){1,3}$/u.test(text);
}

/** A person's name as it is shown. */
export function nameOf(profile) {
  if (!profile) return '';
  return [profile.first_name, profile.last_name].filter(Boolean).join(' ') || profile.username;
}

/** One or two letters that stand for a name. */
export function initials(name) {
  const words = name.replace(/[^\p{L}\p{N}\s]/gu, ' ').trim().split(/\s+/);
  const letters = words.length > 1 ? [words[0], words.at(-1)] : [words[0] ?? ''];
  return letters.map((word) => [...word][0] ?? '').join('').toUpperCase() || '?';
}
