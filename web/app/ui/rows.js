// What a conversation's list is made of: messages, and between them days, notices and where the unread begin.

/** Messages of one sender that follow each other sooner than this stand together. */
const TOGETHER = 5 * 60_000;
/** What a row is taken to be high until it was drawn. */
const SEPARATOR = 44;
const LINE = 22;
const CHARS_A_LINE = 46;

function estimate({ text, reply_to: replyTo }, isFirst) {
  const lines = text.split('\n').reduce((sum, line) => sum + 1 + Math.floor(line.length / CHARS_A_LINE), 0);
  return 20 + lines * LINE + (isFirst ? 10 : 0) + (replyTo ? 46 : 0);
}

const moments = new WeakMap();
/** When a message was sent: worked out once, since all rows are made anew with each message. */
function momentOf(message) {
  let moment = moments.get(message);
  if (!moment) {
    const date = new Date(message.timestamp);
    moment = { date, ms: date.getTime(), day: date.toDateString() };
    moments.set(message, moment);
  }
  return moment;
}

function isTogether(one, other) {
  if (!one || !other || one.sender.id !== other.sender.id) return false;
  const [before, after] = [momentOf(one), momentOf(other)];
  return before.day === after.day && Math.abs(before.ms - after.ms) < TOGETHER;
}

/** An unsent message in the form of a stored one. */
function pendingMessage(entry, me) {
  return {
    id: entry.clientId,
    text: entry.text,
    sender: me,
    timestamp: new Date(entry.at).toISOString(),
    reply_to: entry.replyTo ?? null,
    is_edited: false,
    is_deleted: false,
    attachment: null,
  };
}

export function rowsOf(conversation, outbox, me) {
  const entries = conversation.messages.map((message) => ({ message }));
  if (!conversation.hasNewer) {
    // What was stored already is in the list; its answer is on its way.
    for (const entry of outbox) entries.push({ message: pendingMessage(entry, me), pending: { ...entry } });
  }
  const notices = [...conversation.notices];
  const rows = [];
  let lastDay = null;
  entries.forEach(({ message, pending }, at) => {
    const next = entries[at + 1]?.message;
    const { date, day } = momentOf(message);
    const isNewDay = day !== lastDay;
    let isBroken = isNewDay;
    while (notices.length && message.seq > notices[0].seq) {
      const event = notices.shift();
      if (at === 0 && conversation.hasOlder) continue;
      rows.push({ kind: 'notice', key: `n${event.seq}`, event, estimate: SEPARATOR });
      isBroken = true;
    }
    if (isNewDay) rows.push({ kind: 'day', key: `d${day}`, date, estimate: SEPARATOR });
    if (message.id === conversation.firstUnread) {
      rows.push({ kind: 'unread', key: 'unread', estimate: SEPARATOR });
      isBroken = true;
    }
    lastDay = day;
    const isFirst = isBroken || !isTogether(entries[at - 1]?.message, message);
    const isLast = !isTogether(message, next);
    const key = pending ? `p${pending.clientId}` : `m${message.id}`;
    rows.push({ kind: 'message', key, message, pending, isFirst, isLast, estimate: estimate(message, isFirst) });
  });
  for (const event of conversation.hasNewer ? [] : notices) {
    rows.push({ kind: 'notice', key: `n${event.seq}`, event, estimate: SEPARATOR });
  }
  return rows;
}
