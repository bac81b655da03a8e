// About a chat: its people, what one may do with them, how to leave.

import { html, useEffect, useState } from './html.js';
import { Avatar } from './avatar.js';
import { Confirm, Menu } from './dialog.js';
import { Icon } from './icons.js';
import { PeoplePicker } from './people.js';
import { faceOf, subtitleOf, titleOf } from './titles.js';
import { nameOf } from '../text.js';
import { t } from '../i18n.js';

const RANK = { owner: 0, admin: 1, member: 2 };

function Member({ store, chat, member, onMenu }) {
  const { user, role } = member;
  const isMe = user.id === store.me.id;
  return html`<li class="member">
    <${Avatar} id=${user.id} name=${nameOf(user)} picture=${store.person(user.id)?.avatar} isThere=${store.present(chat.id)?.users.has(user.id)} size="small" />
    <span class="person-name">${nameOf(user)}${isMe ? ` (${t('you')})` : ''}</span>
    <span class="person-note">${role === 'member' ? `@${user.username}` : t(role)}</span>
    ${!isMe && html`<button type="button" class="icon-button" aria-label=${t('actionsFor', { name: nameOf(user) })} aria-haspopup="menu"
      onClick=${(event) => onMenu({ at: event.currentTarget.getBoundingClientRect(), member })}><${Icon} name="more" /></button>`}
  </li>`;
}

/** What the user may do with a member. */
function memberActions({ store, chat, member, onPerson, ask }) {
  const path = `/api/chats/${chat.id}/members/${member.user.id}/`;
  const name = nameOf(member.user);
  const set = (role) => () => void store.attempt(() => store.client.request('PATCH', path, { role }));
  const isOwner = chat.role === 'owner';
  const outranks = RANK[chat.role] < RANK[member.role] || (store.me.is_staff && member.role !== 'owner');
  const isBlocked = store.blocked.has(member.user.id);
  return [
    { label: t('writeTo', { name }), icon: 'person', act: () => onPerson(member.user) },
    (isOwner || chat.role === 'admin') && member.role === 'member' && { label: t('makeAdmin'), icon: 'settings', act: set('admin') },
    isOwner && member.role === 'admin' && { label: t('makeMember'), icon: 'person', act: set('member') },
    isOwner && { label: t('handOver'), icon: 'leave', act: () => ask({ title: t('handOver'), text: t('handOverHint', { name }), action: t('handOver'), act: set('owner') }) },
    { label: t(isBlocked ? 'unblock' : 'block'), icon: 'ban', act: () => void store.attempt(() => store.block(member.user.id, !isBlocked)) },
    outranks && {
      label: t('remove'),
      icon: 'trash',
      isDanger: true,
      act: () => ask({ title: t('remove'), text: t('removeHint', { name }), action: t('remove'), act: () => void store.attempt(() => store.client.request('DELETE', path)) }),
    },
    outranks && {
      label: t('deleteAllOf'),
      icon: 'trash',
      isDanger: true,
      act: () => ask({ title: t('deleteAllOf'), text: t('deleteAllHint', { name }), action: t('delete'), act: () => void store.attempt(() => store.client.request('DELETE', `/api/chats/${chat.id}/messages/?sender=${member.user.id}`)) }),
    },
  ];
}

function Rename({ store, chat }) {
  const [name, setName] = useState(chat.name);
  useEffect(() => setName(chat.name), [chat.id, chat.name]);
  const save = (event) => {
    event.preventDefault();
    if (name.trim() && name !== chat.name) void store.attempt(() => store.client.request('PATCH', `/api/chats/${chat.id}/`, { name: name.trim() }));
  };
  return html`<form class="inline-form" onSubmit=${save}>
    <label class="field"><span>${t('name')}</span><input value=${name} maxlength="100" onInput=${(event) => setName(event.target.value)} /></label>
    ${name.trim() && name !== chat.name && html`<button class="button" type="submit">${t('save')}</button>`}
  </form>`;
}

export function InfoPanel({ store, chat, onClose, onPerson, onGone }) {
  const [menu, setMenu] = useState(null);
  const [question, setQuestion] = useState(null);
  const [isAdding, setIsAdding] = useState(false);
  const conversation = store.conversation(chat.id);
  useEffect(() => setIsAdding(false), [chat.id]);
  const { me, client } = store;
  const other = store.other(chat);
  const person = other && store.person(other.id);
  const isMany = chat.kind === 'group' || chat.kind === 'room';
  const mayManage = isMany && ['owner', 'admin'].includes(chat.role);
  const members = [...(conversation.members ?? [])].sort((a, b) => RANK[a.role] - RANK[b.role] || nameOf(a.user).localeCompare(nameOf(b.user)));
  const rest = (conversation.memberCount ?? members.length) - members.length;
  const leave = (path) => () => void store.attempt(async () => {
    await client.request('DELETE', path);
    onGone();
  });
  const isBlocked = other && store.blocked.has(other.id);
  return html`<aside class="info" aria-label=${t('about')}>
    <header class="info-head">
      <h2>${t('about')}</h2>
      <button type="button" class="icon-button" aria-label=${t('close')} onClick=${onClose}><${Icon} name="close" /></button>
    </header>
    <div class="info-body">
      <div class="info-face">
        <${Avatar} ...${faceOf(store, chat)} picture=${person?.avatar} size="large" />
        <h3>${titleOf(store, chat)}</h3>
        <p>${subtitleOf(store, chat)}</p>
      </div>
      ${mayManage && html`<section class="info-section">
        <${Rename} store=${store} chat=${chat} />
        <label class="switch"><input type="checkbox" checked=${chat.is_private} onChange=${(event) => void store.attempt(() => client.request('PATCH', `/api/chats/${chat.id}/`, { is_private: event.target.checked }))} /><span>${t('privateHint')}</span></label>
      </section>`}
      ${isMany && html`<section class="info-section">
        <div class="section-head"><h3>${t('members', { count: conversation.memberCount ?? members.length })}</h3>
          <button type="button" class="button small" aria-expanded=${isAdding ? 'true' : 'false'} onClick=${() => setIsAdding(!isAdding)}><${Icon} name="plus" />${t('add')}</button></div>
        ${isAdding && html`<${PeoplePicker} store=${store} without=${members.map(({ user }) => user.id)} onPick=${(picked) => {
          setIsAdding(false);
          void store.attempt(async () => {
            await client.request('POST', `/api/chats/${chat.id}/members/`, { members: [picked.id] });
            await conversation.loadMembers();
          });
        }} />`}
        ${conversation.members === null
          ? html`<span class="spinner" role="status" aria-label=${t('loading')}></span>`
          : html`<ul class="plain">${members.map((member) => html`<${Member} key=${member.user.id} store=${store} chat=${chat} member=${member} onMenu=${setMenu} />`)}</ul>
            ${rest > 0 && html`<p class="hint">${t('andMore', { count: rest })}</p>`}`}
      </section>`}
      <section class="info-section actions">
        ${other && html`<button type="button" class="menu-item" onClick=${() => void store.attempt(() => store.block(other.id, !isBlocked))}><${Icon} name="ban" />${t(isBlocked ? 'unblock' : 'block')}</button>`}
        ${isMany && html`<button type="button" class="menu-item danger" onClick=${() => setQuestion({ title: t('leaveChat'), text: t('leaveHint'), action: t('leaveChat'), act: leave(`/api/chats/${chat.id}/members/${me.id}/`) })}><${Icon} name="leave" />${t('leaveChat')}</button>`}
        ${(chat.kind === 'personal' || (chat.kind === 'support' && !chat.customer)) && html`<button type="button" class="menu-item danger" onClick=${() => setQuestion({ title: t('hideChat'), text: t('hideHint'), action: t('hideChat'), act: leave(`/api/chats/${chat.id}/`) })}><${Icon} name="trash" />${t('hideChat')}</button>`}
        ${isMany && (chat.role === 'owner' || me.is_staff) && html`<button type="button" class="menu-item danger" onClick=${() => setQuestion({ title: t('deleteChat'), text: t('deleteChatHint'), action: t('deleteChat'), act: leave(`/api/chats/${chat.id}/`) })}><${Icon} name="trash" />${t('deleteChat')}</button>`}
      </section>
    </div>
    ${menu && html`<${Menu} at=${menu.at} label=${t('actionsFor', { name: nameOf(menu.member.user) })} onClose=${() => setMenu(null)} items=${memberActions({ store, chat, member: menu.member, onPerson, ask: setQuestion })} />`}
    ${question && html`<${Confirm} title=${question.title} text=${question.text} action=${question.action} onConfirm=${question.act} onClose=${() => setQuestion(null)} />`}
  </aside>`;
}
