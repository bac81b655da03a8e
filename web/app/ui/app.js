// The page: the list beside the open chat, and what lies over both.

import { html, StoreProvider, useEffect, useState, useStore } from './html.js';
import { ConversationView } from './conversation.js';
import { Icon } from './icons.js';
import { InfoPanel } from './info.js';
import { NewChat } from './newchat.js';
import { Settings } from './settings.js';
import { Sidebar } from './sidebar.js';
import { SignIn } from './signin.js';
import { t } from '../i18n.js';

/** Where the address says that one is: `#/chat/5`, `#/desk`, `#/desk/7`. */
function placeOf(hash) {
  const [, tab = 'chat', id] = hash.split('/');
  return { tab: tab === 'desk' ? 'desk' : 'chat', id: Number(id) || null };
}

function usePlace() {
  const [place, setPlace] = useState(placeOf(location.hash));
  useEffect(() => {
    const look = () => setPlace(placeOf(location.hash));
    addEventListener('hashchange', look);
    return () => removeEventListener('hashchange', look);
  }, []);
  return place;
}

/** Whether what is shown is what is; nothing while it is. */
function Connection({ store }) {
  const { state, retryAt } = store.connection;
  const [, tick] = useState(0);
  const [isLong, setIsLong] = useState(false);
  const isAway = state === 'waiting' || state === 'connecting' || state === 'syncing';
  useEffect(() => {
    if (!isAway) return setIsLong(false);
    // A connection that is back at once isn't worth a word.
    const wait = setTimeout(() => setIsLong(true), 400);
    const timer = setInterval(() => tick((count) => count + 1), 1000);
    return () => {
      clearTimeout(wait);
      clearInterval(timer);
    };
  }, [isAway]);
  const seconds = Math.max(0, Math.ceil((retryAt - Date.now()) / 1000));
  const kept = store.client?.outbox.filter((entry) => entry.state !== 'failed').length ?? 0;
  return html`<div class="connection" role="status">
    ${isAway && isLong && html`<div class=${`connection-line ${state}`}>
      ${state === 'waiting' ? html`<${Icon} name="offline" />` : html`<span class="spinner" aria-hidden="true"></span>`}
      <span>${state === 'syncing' ? t('catchingUp') : state === 'waiting' ? t('offline', { count: seconds }) : t('connecting')}${kept > 0 ? ` ${t('kept', { count: kept })}` : ''}</span>
      ${state === 'waiting' && html`<button type="button" class="link" onClick=${() => store.client.reconnect()}>${t('now')}</button>`}
    </div>`}
  </div>`;
}

function Chats({ store }) {
  const place = usePlace();
  const [dialog, setDialog] = useState(null);
  const [isInfoOpen, setIsInfoOpen] = useState(false);
  const [target, setTarget] = useState(null);
  const chat = place.id ? store.chat(place.id) : null;
  const close = () => setDialog(null);
  const open = (made) => {
    close();
    location.hash = `#/${store.support.has(made.id) ? 'desk' : 'chat'}/${made.id}`;
  };
  const begin = (body) => void store.attempt(async () => open(await store.create(body)));
  const toPerson = (person) => begin({ kind: 'personal', members: [person.id] });
  const toList = () => (location.hash = place.tab === 'desk' ? '#/desk' : '#/');
  useEffect(() => {
    const unread = [...store.chats.values()].filter(({ unread_count: count }) => count > 0).length;
    document.title = unread > 0 ? `(${unread}) Tertulia` : 'Tertulia';
  });
  useEffect(() => {
    const onKey = (event) => {
      if (event.altKey && ['ArrowUp', 'ArrowDown'].includes(event.key)) {
        const all = place.tab === 'desk' ? store.desk() : store.list();
        const at = all.findIndex(({ id }) => id === place.id) + (event.key === 'ArrowUp' ? -1 : 1);
        if (!all[at]) return;
        event.preventDefault();
        location.hash = `#/${place.tab}/${all[at].id}`;
      } else if (event.key === 'Escape' && isInfoOpen && !document.querySelector('dialog[open], .menu')) {
        setIsInfoOpen(false);
      }
    };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  });
  return html`<div class=${`shell ${chat ? 'has-chat' : ''} ${chat && isInfoOpen ? 'has-info' : ''}`}>
    <${Sidebar} store=${store} tab=${place.tab} openId=${place.id} onNew=${() => setDialog('new')} onSettings=${() => setDialog('settings')}
      onSupport=${() => begin({ kind: 'support' })} onPerson=${toPerson} onMessage=${(message) => { setTarget(message.id); open({ id: message.chat }); }} />
    <main class="stage">
      ${chat
        ? html`<${ConversationView} store=${store} chat=${chat} onBack=${toList} isInfoOpen=${isInfoOpen} onInfo=${() => setIsInfoOpen(!isInfoOpen)} target=${target} onTargetShown=${() => setTarget(null)} />`
        : html`<div class="empty">
            <span class="empty-icon"><${Icon} name=${place.tab === 'desk' ? 'desk' : 'group'} /></span>
            <h2>${t(place.tab === 'desk' ? 'deskChoose' : 'choose')}</h2>
            <p>${t('chooseHint')}</p>
          </div>`}
    </main>
    ${chat && isInfoOpen && html`<${InfoPanel} store=${store} chat=${chat} onClose=${() => setIsInfoOpen(false)} onPerson=${toPerson} onGone=${toList} />`}
    ${dialog === 'new' && html`<${NewChat} store=${store} onClose=${close} onMade=${open} onPerson=${toPerson} />`}
    ${dialog === 'settings' && html`<${Settings} store=${store} onClose=${close} />`}
  </div>`;
}

function Phase() {
  const store = useStore();
  return html`<div class="page">
    ${store.phase === 'ready' && html`<${Connection} store=${store} /><${Chats} store=${store} />`}
    ${store.phase === 'signed_out' && html`<${SignIn} store=${store} />`}
    ${store.phase === 'loading' && html`<main class="empty whole" aria-busy="true"><h1 class="wordmark large">Tertulia</h1><span class="spinner" role="status" aria-label=${t('loading')}></span></main>`}
    ${store.phase === 'failed' && html`<main class="empty whole">
      <span class="empty-icon"><${Icon} name="offline" /></span>
      <h1>${t('unreachable')}</h1>
      
      <button type="button" class="button primary" onClick=${() => void store.start()}>${t('tryAgain')}</button>
    </main>`}
    <div class="toasts" role="alert">${store.toasts.map(({ text }) => html`<div class="toast">${text}</div>`)}</div>
    <div class="unseen" role="log" aria-live="polite">${store.announcement}</div>
  </div>`;
}

export function App({ store }) {
  return html`<${StoreProvider} value=${store}><${Phase} /><//>`;
}
