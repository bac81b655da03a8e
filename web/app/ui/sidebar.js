// The list of chats, for operators also of customers: what is unread, who is there, what was said last.

import { html, useEffect, useRef, useState } from './html.js';
import { Avatar } from './avatar.js';
import { Icon } from './icons.js';
import { Menu } from './dialog.js';
import { faceOf, previewOf, titleOf, typingText } from './titles.js';
import { drafts } from '../kept.js';
import { nameOf } from '../text.js';
import { brief, duration, number, t } from '../i18n.js';

const ROW = 72;
const BEYOND = 6;
const SEARCH_PAUSE = 250;

function Badge({ count }) {
  if (!count) return null;
  return html`<span class="badge" aria-label=${t('unread', { count })}>${count >= 1000 ? '999+' : number(count)}</span>`;
}

function Row({ store, chat, isOpen, href, at, of }) {
  const face = faceOf(store, chat);
  const typing = typingText(store, chat);
  const draft = isOpen ? '' : drafts.get(store.me.id, chat.id);
  const other = store.other(chat);
  const waits = chat.waiting_since && Date.now() - new Date(chat.waiting_since);
  return html`<li class="chat-item" style=${{ top: `${at * ROW}px` }} aria-setsize=${of} aria-posinset=${at + 1}>
    <a class="chat-link" href=${href} aria-current=${isOpen ? 'page' : undefined}>
      <${Avatar} ...${face} picture=${other && store.person(other.id)?.avatar} isThere=${store.isThere(chat)} />
      <span class="chat-name">${titleOf(store, chat)}${chat.is_private && chat.kind === 'room' ? ` · ${t('private')}` : ''}</span>
      <span class="chat-time">${chat.last_message ? brief(new Date(chat.updated_at)) : ''}</span>
      <span class=${typing ? 'chat-preview typing' : 'chat-preview'} dir="auto">
        ${typing ?? (draft ? html`<span class="draft">${t('draft')}:</span> ${draft}` : previewOf(store, chat))}
      </span>
      ${waits ? html`<span class="waits" title=${t('waitsFor', { time: duration(waits) })}>${duration(waits)}</span>` : html`<${Badge} count=${chat.unread_count} />`}
    </a>
  </li>`;
}

/** Rows of one height: those in view are drawn. */
function List({ store, chats, openId, base, label }) {
  const ref = useRef();
  const [view, setView] = useState({ top: 0, height: 900 });
  useEffect(() => {
    const look = () => ref.current && setView({ top: ref.current.scrollTop, height: ref.current.clientHeight });
    const watch = new ResizeObserver(look);
    watch.observe(ref.current);
    return () => watch.disconnect();
  }, []);
  const first = Math.max(0, Math.floor(view.top / ROW) - BEYOND);
  const shown = chats.slice(first, Math.ceil((view.top + view.height) / ROW) + BEYOND);
  const onScroll = () => {
    const { scrollTop: top, clientHeight: height } = ref.current;
    if (Math.abs(top - view.top) > ROW * (BEYOND / 2)) setView({ top, height });
  };
  const onKeyDown = (event) => {
    const step = { ArrowDown: 'nextElementSibling', ArrowUp: 'previousElementSibling' }[event.key];
    const next = step && document.activeElement.closest('.chat-item')?.[step];
    if (!next) return;
    event.preventDefault();
    next.querySelector('a').focus();
  };
  return html`<div class="chat-scroll" ref=${ref} onScroll=${onScroll} onKeyDown=${onKeyDown}>
    <ul class="chat-list" aria-label=${label} style=${{ height: `${chats.length * ROW}px` }}>
      ${shown.map((chat, at) => html`<${Row} key=${chat.id} store=${store} chat=${chat} isOpen=${chat.id === openId} href=${`#/${base}/${chat.id}`} at=${first + at} of=${chats.length} />`)}
    </ul>
  </div>`;
}

/** People and messages that a search finds on the service. */
function useFound(store, query) {
  const [found, setFound] = useState({ people: [], messages: [] });
  useEffect(() => {
    if (query.length < 2) return setFound({ people: [], messages: [] });
    let isLate = false;
    const timer = setTimeout(async () => {
      const asked = encodeURIComponent(query);
      const results = (path) => store.client.request('GET', path).then((page) => page.results, () => []);
      const [people, messages] = await Promise.all([
        results(`/api/users/?search=${asked}&page_size=8`),
        store.features.search ? results(`/api/search/?q=${asked}&page_size=20`) : [],
      ]);
      if (!isLate) setFound({ people: people.filter(({ id }) => id !== store.me.id), messages });
    }, SEARCH_PAUSE);
    return () => {
      isLate = true;
      clearTimeout(timer);
    };
  }, [query]);
  return found;
}

function Found({ store, query, chats, openId, base, onPerson, onMessage }) {
  const { people, messages } = useFound(store, query);
  const wanted = query.toLowerCase();
  const named = chats.filter((chat) => `${titleOf(store, chat)} ${store.other(chat)?.username ?? ''}`.toLowerCase().includes(wanted));
  const known = new Set(chats.map((chat) => store.other(chat)?.id));
  const where = (message) => {
    const chat = store.chat(message.chat);
    return [chat && titleOf(store, chat), brief(new Date(message.timestamp))].filter(Boolean).join(' · ');
  };
  const others = people.filter(({ id }) => !known.has(id));
  if (named.length + others.length + messages.length === 0) {
    return html`<div class="empty small"><p>${t('nothingFound')}</p></div>`;
  }
  return html`<div class="found">
    ${named.length > 0 && html`<${List} store=${store} chats=${named.slice(0, 50)} openId=${openId} base=${base} label=${t('chats')} />`}
    ${others.length > 0 && html`<h3 class="found-head">${t('people')}</h3>
      <ul class="plain">${others.map((person) => html`<li><button type="button" class="person-row" onClick=${() => onPerson(person)}>
        <${Avatar} id=${person.id} name=${nameOf(person)} picture=${person.avatar} size="small" /><span class="person-name">${nameOf(person)}</span><span class="person-note">@${person.username}</span>
      </button></li>`)}</ul>`}
    ${messages.length > 0 && html`<h3 class="found-head">${t('messages')}</h3>
      <ul class="plain">${messages.map((message) => html`<li><button type="button" class="person-row tall" onClick=${() => onMessage(message)}>
        <${Avatar} id=${message.sender.id} name=${nameOf(message.sender)} size="small" />
        <span class="person-name">${nameOf(message.sender)}<span class="found-where"> · ${where(message)}</span></span><span class="person-note">${message.text}</span>
      </button></li>`)}</ul>`}
  </div>`;
}

export function Sidebar({ store, tab, openId, onNew, onSettings, onSupport, onPerson, onMessage }) {
  const [query, setQuery] = useState('');
  const [menu, setMenu] = useState(null);
  const search = useRef();
  useEffect(() => {
    const onKey = (event) => {
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === 'k') {
        event.preventDefault();
        search.current.focus();
      }
    };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  }, []);
  const { me } = store;
  const isDesk = tab === 'desk';
  const chats = isDesk ? store.desk() : store.list();
  const waiting = store.desk().filter((chat) => chat.waiting_since).length;
  const unread = store.list().filter((chat) => chat.unread_count > 0).length;
  const base = isDesk ? 'desk' : 'chat';
  const items = [
    { label: t('settings'), icon: 'settings', act: onSettings },
    !me.is_staff && { label: t('support'), icon: 'desk', act: onSupport },
    { label: t('documents'), icon: 'info', act: () => open('/docs/websocket/', '_blank', 'noopener') },
    { label: t('signOut'), icon: 'leave', act: () => void store.signOut() },
  ];
  return html`<nav class="sidebar" aria-label=${t('chats')}>
    <header class="sidebar-head">
      <button type="button" class="me" aria-haspopup="menu" onClick=${(event) => setMenu(event.currentTarget.getBoundingClientRect())}>
        <${Avatar} id=${me.id} name=${nameOf(me)} picture=${me.avatar} size="small" />
        <span class="unseen">${t('menuOf', { name: nameOf(me) })}</span>
      </button>
      <h1 class="wordmark">Tertulia</h1>
      <button type="button" class="icon-button" aria-label=${t('newChat')} title=${t('newChat')} onClick=${onNew}><${Icon} name="plus" /></button>
    </header>
    <div class="search">
      <${Icon} name="search" />
      <input ref=${search} type="search" placeholder=${t('search')} aria-label=${t('search')} value=${query}
        onInput=${(event) => setQuery(event.target.value)} onKeyDown=${(event) => event.key === 'Escape' && (setQuery(''), event.target.blur())} />
    </div>
    ${me.is_staff && html`<div class="tabs">
      <a href="#/" aria-current=${isDesk ? undefined : 'page'}>${t('chats')}<${Badge} count=${unread} /></a>
      <a href="#/desk" aria-current=${isDesk ? 'page' : undefined}>${t('desk')}<${Badge} count=${waiting} /></a>
    </div>`}
    ${query.trim()
      ? html`<${Found} store=${store} query=${query.trim()} chats=${chats} openId=${openId} base=${base}
          onPerson=${(person) => { setQuery(''); onPerson(person); }} onMessage=${onMessage} />`
      : chats.length > 0
        ? html`<${List} key=${tab} store=${store} chats=${chats} openId=${openId} base=${base} label=${isDesk ? t('desk') : t('chats')} />`
        : html`<div class="empty small">
            <span class="empty-icon"><${Icon} name=${isDesk ? 'desk' : 'group'} /></span>
            <p>${isDesk ? t('deskEmpty') : t('chatsEmpty')}</p>
            ${!isDesk && html`<button type="button" class="button primary" onClick=${onNew}>${t('newChat')}</button>`}
          </div>`}
    ${menu && html`<${Menu} at=${menu} items=${items} label=${t('menuOf', { name: nameOf(me) })} onClose=${() => setMenu(null)} />`}
  </nav>`;
}
