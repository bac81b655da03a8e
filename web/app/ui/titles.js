// What a chat is called, and what stands beneath its name.

import { nameOf } from '../text.js';
import { duration, lastSeen, t } from '../i18n.js';

export function titleOf(store, chat) {
  if (chat.kind === 'personal') return nameOf(store.other(chat)) || t('nobody');
  if (chat.kind === 'support') return chat.customer ? nameOf(chat.customer) : t('support');
  return chat.name;
}

/** Whose letters and colour stand for a chat. */
export function faceOf(store, chat) {
  const person = chat.kind === 'personal' ? store.other(chat) : chat.customer;
  if (person) return { id: person.id, name: nameOf(person), kind: 'personal' };
  return { id: chat.id, name: titleOf(store, chat), kind: chat.kind };
}

export function typingText(store, chat) {
  const names = store.typing(chat.id);
  if (names.length === 0) return null;
  if (chat.kind === 'personal') return t('types');
  return names.length === 1 ? t('oneTypes', { name: names[0] }) : t('severalType', { count: names.length });
}

export function subtitleOf(store, chat) {
  if (chat.kind === 'support') {
    if (!chat.customer) return t('supportHint');
    return chat.waiting_since ? t('waitsFor', { time: duration(Date.now() - new Date(chat.waiting_since)) }) : `@${chat.customer.username}`;
  }
  if (chat.kind === 'personal') {
    const other = store.other(chat);
    if (!other) return '';
    if (store.isThere(chat)) return t('online');
    const person = store.person(other.id);
    if (person?.is_online) return t('online');
    return person?.last_seen ? lastSeen(new Date(person.last_seen)) : `@${other.username}`;
  }
  const count = chat.members?.length ?? store.conversation(chat.id).memberCount ?? chat.member_count;
  const here = store.present(chat.id)?.count ?? 0;
  const members = t('members', { count });
  return here > 1 ? `${members}, ${t('hereNow', { count: here })}` : members;
}

/** What was said last, in a line. */
export function previewOf(store, chat) {
  const last = chat.last_message;
  if (!last) return t(chat.kind === 'support' && !chat.customer ? 'supportHint' : 'noMessages');
  const text = last.is_deleted ? t('deleted') : last.text.replace(/\s+/g, ' ');
  if (last.sender.id === store.me.id) return `${t('you')}: ${text}`;
  return chat.kind === 'personal' || last.sender.id === chat.customer?.id ? text : `${nameOf(last.sender)}: ${text}`;
}
