// Finding people by name.

import { html, useEffect, useRef, useState } from './html.js';
import { Avatar } from './avatar.js';
import { nameOf } from '../text.js';
import { t } from '../i18n.js';

const PAUSE = 200;

export function PeoplePicker({ store, without = [], onPick, label }) {
  const [query, setQuery] = useState('');
  const [found, setFound] = useState(null);
  const input = useRef();
  useEffect(() => input.current.focus(), []);
  useEffect(() => {
    let isLate = false;
    const timer = setTimeout(() => {
      const path = `/api/users/?page_size=20${query.trim() ? `&search=${encodeURIComponent(query.trim())}` : ''}`;
      store.client.request('GET', path).then((page) => isLate || setFound(page.results), () => isLate || setFound([]));
    }, query ? PAUSE : 0);
    return () => {
      isLate = true;
      clearTimeout(timer);
    };
  }, [query]);
  const hidden = new Set([store.me.id, ...without]);
  const people = found?.filter(({ id }) => !hidden.has(id));
  return html`<div class="picker">
    <label class="field"><span>${label ?? t('whom')}</span>
      <input ref=${input} type="search" value=${query} placeholder=${t('nameOfPerson')} autocomplete="off" onInput=${(event) => setQuery(event.target.value)} /></label>
    ${people === undefined
      ? html`<span class="spinner" role="status" aria-label=${t('loading')}></span>`
      : people.length === 0
        ? html`<p class="hint">${t(query ? 'nothingFound' : 'nobodyElse')}</p>`
        : html`<ul class="plain picker-list">${people.map((person) => html`<li key=${person.id}><button type="button" class="person-row" onClick=${() => onPick(person)}>
            <${Avatar} id=${person.id} name=${nameOf(person)} picture=${person.avatar} isThere=${person.is_online} size="small" />
            <span class="person-name">${nameOf(person)}</span><span class="person-note">@${person.username}</span>
          </button></li>`)}</ul>`}
  </div>`;
}
