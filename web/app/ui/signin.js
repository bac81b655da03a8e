// The way in: signing in, signing up, a forgotten password.

import { html, useState } from './html.js';
import { Field, fieldErrors, Looks } from './settings.js';
import { ApiError, Tertulia } from '../../tertulia.js';
import { tokens } from '../kept.js';
import { t } from '../i18n.js';

async function post(path, body) {
  const response = await fetch(path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });
  const answer = await response.json().catch(() => null);
  if (!response.ok) throw new ApiError(response.status, answer, Number(response.headers.get('Retry-After')) || undefined);
  return answer;
}

const DEEDS = {
  async signIn({ username, password }) {
    tokens.set(await Tertulia.signIn(location.origin, username, password));
  },
  async signUp({ username, password, email }) {
    await post('/api/users/', { username, password, ...(email ? { email } : {}) });
    await this.signIn({ username, password });
  },
  async recover({ username }) {
    await post('/api/users/recovery/', { username });
  },
  async confirm({ username, code, password }) {
    await post('/api/users/recovery/confirm/', { username, code, password });
    await this.signIn({ username, password });
  },
};
const NEXT = { recover: 'confirm' };

function why(error) {
  if (!(error instanceof ApiError)) return t('unreachable');
  if (error.status === 401) return t('wrongPassword');
  if (error.status === 429) return t('tooOften');
  return Object.keys(fieldErrors(error)).length ? null : error.message;
}

export function SignIn({ store }) {
  const [mode, setMode] = useState('signIn');
  const [form, setForm] = useState({ username: '', password: '', email: '', code: '' });
  const [error, setError] = useState(null);
  const [isBusy, setIsBusy] = useState(false);
  const errors = fieldErrors(error);
  const change = (event) => setForm({ ...form, [event.target.name]: event.target.value });
  const go = (to) => () => {
    setError(null);
    setMode(to);
  };
  const submit = async (event) => {
    event.preventDefault();
    setIsBusy(true);
    setError(null);
    try {
      await DEEDS[mode](form);
      if (NEXT[mode]) setMode(NEXT[mode]);
      else void store.start();
    } catch (failed) {
      setError(failed);
    }
    setIsBusy(false);
  };
  const field = (name, label, more) => html`<${Field} key=${name} name=${name} label=${label} value=${form[name]} onInput=${change} error=${errors[name]} required ...${more} />`;
  const isNew = mode === 'signUp' || mode === 'confirm';
  return html`<main class="gate">
    <div class="gate-card">
      <h1 class="wordmark large">Tertulia</h1>
      <p class="gate-line">${t('slogan')}</p>
      <form onSubmit=${submit} aria-label=${t(mode)}>
        ${field('username', t('username'), { autocomplete: 'username', autocapitalize: 'none', spellcheck: false, autofocus: true })}
        ${mode === 'signUp' && field('email', t('emailOptional'), { type: 'email', autocomplete: 'email', required: false })}
        ${mode === 'confirm' && html`<p class="hint">${t('codeSent')}</p>${field('code', t('code'), { autocomplete: 'one-time-code', autocapitalize: 'characters' })}`}
        ${mode !== 'recover' && field('password', isNew ? t('newPassword') : t('password'), { type: 'password', autocomplete: isNew ? 'new-password' : 'current-password', minlength: isNew ? 8 : undefined })}
        ${error && why(error) && html`<p class="form-error" role="alert">${why(error)}</p>`}
        <button type="submit" class="button primary wide" disabled=${isBusy}>${isBusy ? html`<span class="spinner" aria-hidden="true"></span>` : ''}${t(mode)}</button>
      </form>
      <div class="gate-links">
        ${mode === 'signIn'
          ? html`<button type="button" class="link" onClick=${go('signUp')}>${t('noAccount')}</button><button type="button" class="link" onClick=${go('recover')}>${t('forgot')}</button>`
          : html`<button type="button" class="link" onClick=${go('signIn')}>${t('haveAccount')}</button>`}
      </div>
    </div>
    <footer class="gate-foot"><${Looks} onLanguage=${store.changed} />
      <p><a href="/docs/websocket/">WebSocket</a> · <a href="/swagger/">Swagger</a> · <a href="/redoc/">ReDoc</a></p></footer>
  </main>`;
}
