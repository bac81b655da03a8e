// One's own account: picture, names, password, sign-ins, and how the page looks.

import { html, useEffect, useRef, useState } from './html.js';
import { Avatar } from './avatar.js';
import { Confirm, Dialog } from './dialog.js';
import { currentLanguage, LANGUAGES, setLanguage, t, day, time } from '../i18n.js';
import { theme, tokens } from '../kept.js';
import { nameOf } from '../text.js';

const THEMES = ['auto', 'light', 'dark'];

/** What REST says of each field of a form. */
export function fieldErrors(error) {
  const body = error?.body;
  if (!body || typeof body !== 'object' || body.detail) return {};
  return Object.fromEntries(Object.entries(body).map(([name, texts]) => [name, [].concat(texts).join(' ')]));
}

export function Field({ label, error, ...input }) {
  const id = `field-${input.name}`;
  return html`<label class=${error ? 'field wrong' : 'field'}><span>${label}</span>
    <input ...${input} aria-invalid=${error ? 'true' : undefined} aria-describedby=${error ? id : undefined} />
    ${error && html`<span class="field-error" id=${id} role="alert">${error}</span>`}
  </label>`;
}

function Profile({ store }) {
  const { me, client } = store;
  const [form, setForm] = useState(me);
  const [error, setError] = useState(null);
  const [isSaved, setIsSaved] = useState(false);
  const file = useRef();
  const errors = fieldErrors(error);
  const change = (event) => {
    setIsSaved(false);
    setForm({ ...form, [event.target.name]: event.target.value });
  };
  const save = async (event) => {
    event.preventDefault();
    const { first_name, last_name, email } = form;
    try {
      store.knowMe(await client.request('PATCH', '/api/users/me/', { first_name, last_name, email }));
      setError(null);
      setIsSaved(true);
    } catch (failed) {
      setError(failed);
    }
  };
  const picture = async (deed) => {
    if (await store.attempt(async () => (await deed(), true))) store.knowMe(await client.request('GET', '/api/users/me/'));
  };
  return html`<form class="settings-section" onSubmit=${save}>
    <div class="picture">
      <${Avatar} id=${me.id} name=${nameOf(me)} picture=${me.avatar} size="large" />
      <div>
        <strong>${nameOf(me)}</strong><span class="person-note">@${me.username}</span>
        <div class="picture-buttons">
          <button type="button" class="button small" onClick=${() => file.current.click()}>${t('changePicture')}</button>
          ${me.avatar && html`<button type="button" class="button small" onClick=${() => void picture(() => client.request('DELETE', '/api/users/me/avatar/'))}>${t('removePicture')}</button>`}
        </div>
        <input ref=${file} type="file" accept="image/png,image/jpeg,image/webp" hidden aria-hidden="true" tabindex="-1"
          onChange=${(event) => event.target.files[0] && void picture(() => client.request('PUT', '/api/users/me/avatar/', event.target.files[0]))} />
      </div>
    </div>
    <div class="two">
      <${Field} label=${t('firstName')} name="first_name" autocomplete="given-name" value=${form.first_name} onInput=${change} error=${errors.first_name} />
      <${Field} label=${t('lastName')} name="last_name" autocomplete="family-name" value=${form.last_name} onInput=${change} error=${errors.last_name} />
    </div>
    <${Field} label=${t('email')} name="email" type="email" autocomplete="email" value=${form.email} onInput=${change} error=${errors.email} />
    <div class="form-foot">${isSaved && html`<span class="saved" role="status">${t('saved')}</span>`}<button type="submit" class="button primary">${t('save')}</button></div>
  </form>`;
}

function Password({ store }) {
  const [form, setForm] = useState({ old_password: '', new_password: '' });
  const [error, setError] = useState(null);
  const errors = fieldErrors(error);
  const change = (event) => setForm({ ...form, [event.target.name]: event.target.value });
  const save = async (event) => {
    event.preventDefault();
    try {
      await store.client.changePassword(form.old_password, form.new_password);
      setForm({ old_password: '', new_password: '' });
      setError(null);
      store.toast(t('passwordChanged'));
    } catch (failed) {
      setError(failed);
    }
  };
  return html`<form class="settings-section" onSubmit=${save}>
    <h3>${t('password')}</h3>
    <input type="text" name="username" autocomplete="username" value=${store.me.username} hidden readonly />
    <div class="two">
      <${Field} label=${t('oldPassword')} name="old_password" type="password" autocomplete="current-password" required value=${form.old_password} onInput=${change} error=${errors.old_password ?? (error && !Object.keys(errors).length ? error.message : null)} />
      <${Field} label=${t('newPassword')} name="new_password" type="password" autocomplete="new-password" required minlength="8" value=${form.new_password} onInput=${change} error=${errors.new_password} />
    </div>
    <div class="form-foot"><button type="submit" class="button" disabled=${!form.old_password || !form.new_password}>${t('changePassword')}</button></div>
  </form>`;
}

/** A user agent in words that a person knows. */
function device(agent) {
  const browser = /Firefox\//.test(agent) ? 'Firefox' : /Edg\//.test(agent) ? 'Edge' : /Chrome\//.test(agent) ? 'Chrome' : /Safari\//.test(agent) ? 'Safari' : agent.split(/[\s/]/)[0];
  const system = /Android/.test(agent) ? 'Android' : /iPhone|iPad/.test(agent) ? 'iOS' : /Windows/.test(agent) ? 'Windows' : /Mac OS/.test(agent) ? 'macOS' : /Linux/.test(agent) ? 'Linux' : '';
  return [browser || t('unknownDevice'), system].filter(Boolean).join(', ');
}

function Sessions({ store }) {
  const [sessions, setSessions] = useState(null);
  const load = () => store.client.request('GET', '/api/sessions/?page_size=50').then((page) => setSessions(page.results), () => setSessions([]));
  useEffect(() => void load(), []);
  const end = (id) => void store.attempt(async () => {
    await store.client.request('DELETE', `/api/sessions/${id}/`);
    await load();
  });
  return html`<section class="settings-section">
    <h3>${t('sessions')}</h3>
    ${sessions === null && html`<span class="spinner" role="status" aria-label=${t('loading')}></span>`}
    <ul class="plain">${sessions?.map((session) => {
      const used = new Date(session.last_used_at);
      return html`<li key=${session.id} class="session">
        <span class="person-name">${device(session.client)}</span>
        <span class="person-note">${session.is_current ? t('thisSession') : `${day(used)}, ${time(used)}`}</span>
        ${!session.is_current && html`<button type="button" class="button small" onClick=${() => end(session.id)}>${t('end')}</button>`}
      </li>`;
    })}</ul>
  </section>`;
}

export function Looks({ onLanguage }) {
  const [chosen, setChosen] = useState(theme.get());
  return html`<div class="two">
    <label class="field"><span>${t('language')}</span>
      <select value=${currentLanguage()} onChange=${(event) => { setLanguage(event.target.value); onLanguage(); }}>
        ${LANGUAGES.map(({ code, name }) => html`<option value=${code} selected=${code === currentLanguage()}>${name}</option>`)}
      </select></label>
    <div class="field"><span>${t('theme')}</span>
      <div class="segments" role="group" aria-label=${t('theme')}>${THEMES.map((each) => html`<button type="button" key=${each} aria-pressed=${chosen === each ? 'true' : 'false'} onClick=${() => { theme.set(each); setChosen(each); }}>${t(each)}</button>`)}</div></div>
  </div>`;
}

export function Settings({ store, onClose }) {
  const [isLeaving, setIsLeaving] = useState(false);
  const save = () => void store.attempt(async () => {
    const all = await store.client.request('GET', '/api/users/me/export/');
    const link = document.createElement('a');
    link.href = URL.createObjectURL(new Blob([JSON.stringify(all, null, 2)], { type: 'application/json' }));
    link.download = `${store.me.username}.json`;
    link.click();
    URL.revokeObjectURL(link.href);
  });
  return html`<${Dialog} title=${t('settings')} onClose=${onClose} wide>
    <section class="settings-section"><${Looks} onLanguage=${store.changed} /></section>
    <${Profile} store=${store} />
    <${Password} store=${store} />
    <${Sessions} store=${store} />
    <section class="settings-section row">
      ${store.features.export && html`<button type="button" class="button" onClick=${save}>${t('export')}</button>`}
      <button type="button" class="button" onClick=${() => void store.signOut()}>${t('signOut')}</button>
      <button type="button" class="button danger-quiet" onClick=${() => setIsLeaving(true)}>${t('deleteAccount')}</button>
    </section>
    ${isLeaving && html`<${Confirm} title=${t('deleteAccount')} text=${t('deleteAccountHint')} action=${t('deleteAccount')} onClose=${() => setIsLeaving(false)}
      onConfirm=${() => void store.attempt(async () => { await store.client.request('DELETE', '/api/users/me/'); tokens.set(null); store.end(); })} />`}
  <//>`;
}
