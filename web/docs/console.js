// Trying it: a socket of any dialect, frames that are sent and heard.

import { html, useEffect, useLayoutEffect, useRef, useState } from '../vendor/preact-htm.js';
import { tokens } from '../app/kept.js';
import { Tertulia } from '../tertulia.js';

const LINES_MAX = 500;

/** A chosen example with the user's own token in the place of the document's. */
function filled(payload, access) {
  const frame = structuredClone(payload);
  if (access && typeof frame.token === 'string') frame.token = access;
  if (access && frame.method === 'message.auth' && frame.params?.length) frame.params = [access];
  return JSON.stringify(frame, null, 2);
}

function SignIn({ onTokens }) {
  const [error, setError] = useState(null);
  const submit = async (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    try {
      onTokens(await Tertulia.signIn(location.origin, form.get('username'), form.get('password')));
    } catch (failed) {
      setError(failed.message);
    }
  };
  return html`<form class="console-signin" onSubmit=${submit}>
    <label class="field"><span>User name</span><input name="username" autocomplete="username" required /></label>
    <label class="field"><span>Password</span><input name="password" type="password" autocomplete="current-password" required /></label>
    <button type="submit" class="button">Sign in</button>
    ${error && html`<p class="form-error" role="alert">${error}</p>`}
  </form>`;
}

function Parameters({ dialect, values, onChange }) {
  return Object.entries(dialect.parameters ?? {}).map(
    ([name, parameter]) => html`<label class="field" key=${name}><span>${name}</span>
      <input value=${values[name] ?? parameter.examples?.[0] ?? ''} onInput=${(event) => onChange({ ...values, [name]: event.target.value })} /></label>`,
  );
}

export function Console({ dialects, chosen, onChoose, example }) {
  const [kept, setKept] = useState(tokens.get());
  const [values, setValues] = useState({});
  const [query, setQuery] = useState('');
  const [frame, setFrame] = useState('');
  const [lines, setLines] = useState([]);
  const [state, setState] = useState('closed');
  const socket = useRef(null);
  const log = useRef();
  const dialect = dialects.find(({ name }) => name === chosen);
  const path = Object.entries(dialect.parameters ?? {}).reduce(
    (address, [name, parameter]) => address.replace(`{${name}}`, encodeURIComponent(values[name] ?? parameter.examples?.[0] ?? '')),
    dialect.address,
  );

  const write = (kind, text) => setLines((before) => [...before.slice(1 - LINES_MAX), { kind, text, at: new Date() }]);
  useEffect(() => () => socket.current?.close(), []);
  useEffect(() => {
    if (example) setFrame(filled(example.payload, kept?.access));
  }, [example, kept]);
  useLayoutEffect(() => {
    log.current.scrollTop = log.current.scrollHeight;
  }, [lines]);

  const connect = async () => {
    setState('connecting');
    let access = null;
    if (kept) {
      const asking = new Tertulia({ url: location.origin, tokens });
      access = await asking.request('GET', '/api/users/me/').then(() => tokens.get().access, () => null);
      setKept(tokens.get());
    }
    const url = `${location.origin.replace('http', 'ws')}${path}${query ? `?${query.replace(/^\?/, '')}` : ''}`;
    const opened = new WebSocket(url, access ? ['bearer', access] : []);
    socket.current = opened;
    write('note', `${url}${access ? ' as the subprotocols bearer, <token>' : ' without a token'}`);
    opened.onopen = () => setState('open');
    opened.onmessage = ({ data }) => write('heard', data);
    opened.onclose = ({ code, reason }) => {
      write('note', `closed: ${code} ${reason}`);
      setState('closed');
    };
  };
  const send = (event) => {
    event.preventDefault();
    // Indented to be read here; on the wire it is one line, unless it is no JSON (rpc also takes Python literals).
    let text = frame;
    try {
      text = JSON.stringify(JSON.parse(frame));
    } catch {
      // sent as it stands
    }
    socket.current.send(text);
    write('sent', text);
  };
  return html`<section class="console" aria-label="Try it">
    <header class="console-head"><h2>Try it</h2>
      ${kept
        ? html`<span class="hint">Signed in <button type="button" class="link" onClick=${() => { tokens.set(null); setKept(null); }}>Sign out</button></span>`
        : html`<span class="hint">Not signed in</span>`}
    </header>
    ${!kept && html`<${SignIn} onTokens=${(given) => { tokens.set(given); setKept(given); }} />`}
    <div class="console-where">
      <label class="field"><span>Dialect</span>
        <select value=${chosen} disabled=${state !== 'closed'} onChange=${(event) => onChoose(event.target.value)}>
          ${dialects.map(({ name }) => html`<option value=${name} selected=${name === chosen}>${name}</option>`)}
        </select></label>
      <${Parameters} dialect=${dialect} values=${values} onChange=${setValues} />
      <label class="field"><span>Query</span><input value=${query} placeholder="since=0" onInput=${(event) => setQuery(event.target.value)} /></label>
      ${state === 'closed'
        ? html`<button type="button" class="button primary" onClick=${() => void connect()}>Connect</button>`
        : html`<button type="button" class="button" onClick=${() => socket.current?.close(1000)}>Close</button>`}
    </div>
    <ol class="console-log" ref=${log} tabindex="0" aria-label="Frames">
      ${lines.length === 0 && html`<li class="note">Connect to ${path} and see what comes.</li>`}
      ${lines.map(({ kind, text, at }) => html`<li class=${kind}>
        <span class="console-time">${at.toLocaleTimeString('en-GB')}</span>
        <span class="console-side" aria-label=${kind}>${{ sent: '→', heard: '←', note: '·' }[kind]}</span>
        <code>${text}</code>
      </li>`)}
    </ol>
    <form class="console-send" onSubmit=${send}>
      <label class="field"><span>Frame</span>
        <textarea rows="5" spellcheck="false" value=${frame} placeholder="Choose an example beside a frame, or write one" onInput=${(event) => setFrame(event.target.value)}></textarea></label>
      <div class="console-buttons">
        <button type="button" class="button" onClick=${() => setLines([])}>Clear</button>
        <button type="submit" class="button primary" disabled=${state !== 'open' || !frame.trim()}>Send</button>
      </div>
    </form>
  </section>`;
}
