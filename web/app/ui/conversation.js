// An open chat: who is there, what was said, where one writes.

import { html, useEffect, useMemo, useRef, useState } from './html.js';
import { Avatar } from './avatar.js';
import { Composer } from './composer.js';
import { Confirm, Dialog, Menu } from './dialog.js';
import { Icon } from './icons.js';
import { Message, QUICK } from './message.js';
import { VirtualList } from './virtual.js';
import { rowsOf } from './rows.js';
import { faceOf, subtitleOf, titleOf, typingText } from './titles.js';
import { nameOf } from '../text.js';
import { day, t } from '../i18n.js';

function Head({ store, chat, onBack, onInfo, isInfoOpen }) {
  const face = faceOf(store, chat);
  const other = store.other(chat);
  const typing = typingText(store, chat);
  return html`<header class="conversation-head">
    <button type="button" class="icon-button back" aria-label=${t('back')} onClick=${onBack}><${Icon} name="back" /></button>
    <button type="button" class="conversation-title" aria-expanded=${isInfoOpen ? 'true' : 'false'} onClick=${onInfo}>
      <${Avatar} ...${face} picture=${other && store.person(other.id)?.avatar} isThere=${store.isThere(chat)} />
      <h2>${titleOf(store, chat)}</h2>
      <span class=${typing ? 'subtitle typing' : 'subtitle'}>${typing ?? subtitleOf(store, chat)}</span>
    </button>
    <button type="button" class="icon-button" aria-label=${t('about')} aria-expanded=${isInfoOpen ? 'true' : 'false'} onClick=${onInfo}><${Icon} name="info" /></button>
  </header>`;
}

function noticeText(store, { type, user, by, data, role }) {
  if (type === 'chat_updated') return data.name ? t('renamed', { name: data.name }) : t('changed');
  const name = nameOf(user);
  if (type === 'member_joined') return by === user.id ? t('joined', { name }) : t('added', { name });
  return role === 'banned' ? t('removed', { name }) : t('left', { name });
}

/** What may be done with a message. */
function actionsOf({ store, chat, message, pending, readers, onReply, onEdit, onDelete, onReaders }) {
  const { client } = store;
  if (pending) {
    return [
      pending.state === 'failed' && { label: t('sendAgain'), icon: 'send', act: () => client.retry(pending.clientId) },
      { label: t('copy'), icon: 'copy', act: () => void navigator.clipboard?.writeText(message.text) },
      { label: t('discard'), icon: 'trash', isDanger: true, act: () => client.discard(pending.clientId) },
    ];
  }
  const isOwn = message.sender.id === store.me.id;
  const mayDelete = isOwn || ['owner', 'admin'].includes(chat.role) || store.me.is_staff;
  return [
    { label: t('reply'), icon: 'reply', act: () => onReply(message) },
    { label: t('copy'), icon: 'copy', act: () => void navigator.clipboard?.writeText(message.text) },
    isOwn && chat.kind !== 'personal' && { label: t('readBy', { count: readers.length }), icon: 'checks', act: () => onReaders(readers) },
    isOwn && !message.attachment && { label: t('edit'), icon: 'edit', act: () => onEdit(message) },
    mayDelete && { label: t('delete'), icon: 'trash', isDanger: true, act: () => onDelete(message) },
  ];
}

export function ConversationView({ store, chat, onBack, onInfo, isInfoOpen, target, onTargetShown }) {
  const conversation = store.conversation(chat.id);
  const list = useRef();
  const [replyTo, setReplyTo] = useState(null);
  const [editing, setEditing] = useState(null);
  const [menu, setMenu] = useState(null);
  const [deleting, setDeleting] = useState(null);
  const [readers, setReaders] = useState(null);
  const [marked, setMarked] = useState(null);
  const [isAtEnd, setIsAtEnd] = useState(true);
  const [uploads, setUploads] = useState([]);
  const me = store.me.id;
  const outbox = store.client.outbox.filter((entry) => entry.chat === chat.id);
  const stamp = outbox.map((entry) => entry.clientId + entry.state + (entry.delayedUntil ?? '')).join();
  const rows = useMemo(
    () => rowsOf(conversation, outbox, store.me),
    [conversation, conversation.messages, conversation.notices, conversation.firstUnread, conversation.isLoaded, stamp],
  );

  useEffect(() => {
    setReplyTo(null);
    setEditing(null);
    setMenu(null);
    setIsAtEnd(true);
  }, [chat.id]);
  // The first unread message is where reading goes on.
  useEffect(() => {
    if (conversation.isLoaded && conversation.firstUnread && !target) list.current?.show('unread', 'start');
  }, [conversation.isLoaded, chat.id]);
  const jump = async (id) => {
    if (!(await store.attempt(async () => (await conversation.around(id), true)))) return;
    setMarked(id);
    requestAnimationFrame(() => list.current?.show(`m${id}`));
    setTimeout(() => setMarked(null), 2000);
  };
  useEffect(() => {
    if (!target || !conversation.isLoaded) return;
    void jump(target);
    onTargetShown();
  }, [target, conversation.isLoaded]);

  const look = () => {
    const last = conversation.messages.at(-1);
    if (last && isAtEnd && !conversation.hasNewer && !document.hidden && document.hasFocus()) store.read(chat.id, last);
  };
  useEffect(look);
  useEffect(() => {
    addEventListener('focus', look);
    return () => removeEventListener('focus', look);
  });

  const toNewest = () => {
    if (conversation.hasNewer) store.reload(chat.id);
    else list.current?.toEnd();
  };
  const onFiles = async (files) => {
    for (const file of files) {
      const form = new FormData();
      form.append('client_id', crypto.randomUUID?.() ?? `${Date.now()}-${file.name}`.slice(0, 64));
      form.append('file', file);
      setUploads((names) => [...names, file.name]);
      await store.attempt(() => store.client.request('POST', `/api/chats/${chat.id}/attachments/`, form));
      setUploads((names) => names.filter((name) => name !== file.name));
    }
  };
  const toggle = (message) => (emoji, isOn) => void store.attempt(() => store.client.react(chat.id, message.id, emoji, isOn));
  const readTo = conversation.readBy(me);
  const showsSender = chat.kind !== 'personal';

  const row = (item) => {
    if (item.kind === 'day') return html`<div class="day"><span>${day(item.date)}</span></div>`;
    if (item.kind === 'unread') return html`<div class="unread-line"><span>${t('newMessages')}</span></div>`;
    if (item.kind === 'notice') return html`<div class="notice"><span>${noticeText(store, item.event)}</span></div>`;
    const { message, pending, isFirst, isLast } = item;
    const isOwn = message.sender.id === me;
    return html`<${Message} message=${message} pending=${pending} isOwn=${isOwn} isFirst=${isFirst} isLast=${isLast}
      showsSender=${showsSender && !isOwn} replied=${message.reply_to ? conversation.find(message.reply_to) : undefined}
      tally=${conversation.reactions.get(message.id)} me=${me} isRead=${!pending && message.seq <= readTo} isMarked=${marked === message.id}
      picture=${showsSender && !isOwn && isLast ? store.person(message.sender.id)?.avatar : null}
      onAct=${(at) => setMenu({ at, message, pending })} onToggle=${toggle(message)} onJump=${jump} onRenew=${() => store.attempt(() => conversation.renew(message.id))} />`;
  };

  const onKeyDown = (event) => {
    const here = document.activeElement.closest('.message');
    const all = [...event.currentTarget.querySelectorAll('.message')];
    if (['ArrowUp', 'ArrowDown'].includes(event.key)) {
      const next = here ? all[all.indexOf(here) + (event.key === 'ArrowUp' ? -1 : 1)] : all.at(-1);
      if (!next) return;
      event.preventDefault();
      next.focus();
      next.scrollIntoView({ block: 'nearest' });
    } else if (event.key === 'Enter' && document.activeElement === here) {
      event.preventDefault();
      here.querySelector('.act')?.click();
    }
  };

  const other = store.other(chat);
  const isBlocked = other && store.blocked.has(other.id);
  return html`<section class="conversation" aria-label=${titleOf(store, chat)}>
    <${Head} store=${store} chat=${chat} onBack=${onBack} onInfo=${onInfo} isInfoOpen=${isInfoOpen} />
    <div class="conversation-body">
      ${!conversation.isLoaded
        ? conversation.error
          ? html`<div class="empty">
              <span class="empty-icon"><${Icon} name="offline" /></span>
              <p>${t('notLoaded')}</p>
              <button type="button" class="button" onClick=${() => store.reload(chat.id)}>${t('tryAgain')}</button>
            </div>`
          : html`<div class="skeleton" role="status" aria-label=${t('loading')}>${[52, 38, 64, 30, 46].map((width, at) => html`<span class=${at % 2 ? 'own' : ''} style=${{ width: `${width}%` }}></span>`)}</div>`
        : rows.length === 0
          ? html`<div class="empty">
              <${Avatar} ...${faceOf(store, chat)} size="large" />
              <h3>${titleOf(store, chat)}</h3>
              <p>${t(chat.kind === 'support' && !chat.customer ? 'supportEmpty' : 'saySomething')}</p>
            </div>`
          : html`<${VirtualList} key=${chat.id} ref=${list} items=${rows} row=${row} label=${t('messages')} onKeyDown=${onKeyDown}
              onNearStart=${() => void conversation.older()} onNearEnd=${() => void conversation.newer()}
              onView=${({ isAtEnd: now }) => now !== isAtEnd && setIsAtEnd(now)} />`}
      ${conversation.isLoaded && conversation.isLoading && html`<div class="loading-more" role="status" aria-label=${t('loading')}><span class="spinner"></span></div>`}
      ${conversation.isLoaded && (!isAtEnd || conversation.hasNewer) && rows.length > 0 && html`<button type="button" class="to-newest" aria-label=${t('toNewest')} onClick=${toNewest}>
        <${Icon} name="down" />${chat.unread_count > 0 && html`<span class="badge">${chat.unread_count}</span>`}
      </button>`}
    </div>
    ${uploads.length > 0 && html`<div class="uploads" role="status"><span class="spinner" aria-hidden="true"></span>${t('sendsFile', { name: uploads[0] })}</div>`}
    ${isBlocked
      ? html`<div class="composer blocked"><p>${t('blockedHint', { name: nameOf(other) })}</p>
          <button type="button" class="button" onClick=${() => void store.attempt(() => store.block(other.id, false))}>${t('unblock')}</button></div>`
      : html`<${Composer} store=${store} chat=${chat} replyTo=${replyTo} editing=${editing} hasFiles=${store.features.attachments} onFiles=${onFiles}
          onDone=${(isSent) => { setReplyTo(null); setEditing(null); if (isSent) toNewest(); }}
          onEditLast=${(event) => {
            const last = conversation.messages.findLast((message) => message.sender.id === me && !message.is_deleted && !message.attachment);
            if (!last) return;
            event.preventDefault();
            setEditing(last);
          }} />`}
    ${menu && html`<${Menu} at=${menu.at} label=${t('actions')} onClose=${() => setMenu(null)}
      items=${actionsOf({ store, chat, ...menu, readers: conversation.readersOf(menu.message, me), onReaders: setReaders, onReply: (message) => { setEditing(null); setReplyTo(message); }, onEdit: (message) => { setReplyTo(null); setEditing(message); }, onDelete: setDeleting })}>
      ${!menu.pending && html`<div class="quick">${QUICK.map((emoji) => {
        const has = conversation.reactions.get(menu.message.id)?.get(emoji)?.has(me) ?? false;
        return html`<button type="button" role="menuitem" tabindex="-1" class=${has ? 'on' : ''} aria-label=${t('reactWith', { emoji })}
          onClick=${() => { setMenu(null); toggle(menu.message)(emoji, !has); }}>${emoji}</button>`;
      })}</div>`}
    <//>`}
    ${readers && html`<${Dialog} title=${t('readBy', { count: readers.length })} onClose=${() => setReaders(null)}>
      ${readers.length === 0
        ? html`<p class="dialog-text">${t('readByNobody')}</p>`
        : html`<ul class="plain">${readers.map((user) => html`<li key=${user.id} class="member">
            <${Avatar} id=${user.id} name=${nameOf(user)} picture=${store.person(user.id)?.avatar} size="small" />
            <span class="person-name">${nameOf(user)}</span><span class="person-note">@${user.username}</span></li>`)}</ul>`}
    <//>`}
    ${deleting && html`<${Confirm} title=${t('deleteMessage')} text=${t('deleteMessageHint')} action=${t('delete')} onClose=${() => setDeleting(null)}
      onConfirm=${() => void store.attempt(() => store.client.remove(chat.id, deleting.id))} />`}
  </section>`;
}
