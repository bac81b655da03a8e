// Every frame of every dialect, as the AsyncAPI document has it, beside a console to try them.

import { html, render, useState } from '../vendor/preact-htm.js';
import { theme } from '../app/kept.js';
import { Console } from './console.js';
import { Document } from './document.js';
import { blocks, inline } from './markdown.js';

function Example({ example, isFromClient, onTry }) {
  return html`<figure class="example">
    <figcaption>${example.name ?? 'Example'}
      ${isFromClient && html`<button type="button" class="button small" onClick=${() => onTry(example)}>Try</button>`}</figcaption>
    <pre tabindex="0"><code>${JSON.stringify(example.payload, null, 2)}</code></pre>
  </figure>`;
}

function Frame({ document, dialect, frame, onTry }) {
  const keys = document.keys(frame.payload);
  return html`<article class="frame" id=${`${dialect}-${frame.key}`}>
    <h4><code>${frame.name}</code> <span>${inline(frame.title)}</span></h4>
    ${frame.summary && html`<p>${inline(frame.summary)}</p>`}
    ${keys.length > 0 && html`<div class="table" role="region" aria-label=${`Keys of ${frame.name}`} tabindex="0"><table>
      <thead><tr><th scope="col">key</th><th scope="col">value</th><th scope="col"></th></tr></thead>
      <tbody>${keys.map((key) => html`<tr>
        <td><code>${key.name}</code>${key.isRequired ? '' : html` <span class="optional">optional</span>`}</td>
        <td class="value">${key.type}</td><td>${inline(key.text)}</td></tr>`)}</tbody>
    </table></div>`}
    ${frame.examples?.map((example) => html`<${Example} example=${example} isFromClient=${frame.isFromClient} onTry=${onTry} />`)}
  </article>`;
}

function Dialect({ document, dialect, onTry }) {
  const side = (title, frames) => html`<h3>${title}</h3>
    ${frames.map((frame) => html`<${Frame} key=${frame.key} document=${document} dialect=${dialect.name} frame=${frame} onTry=${onTry} />`)}`;
  const query = Object.entries(dialect.bindings?.ws?.query?.properties ?? {});
  return html`<section class="dialect" aria-labelledby="dialect">
    <h2 id="dialect">${dialect.title}</h2>
    <p class="address"><code>${dialect.address}</code></p>
    <p>${inline(dialect.description)}</p>
    ${query.length > 0 && html`<p class="hint">Query: ${query.map(([name, of], at) => html`${at ? ', ' : ''}<code>${name}</code>${of.description ? html` (${inline(of.description)})` : ''}`)}</p>`}
    ${side('What a client sends', dialect.sent)}
    ${side('What the server tells', dialect.heard)}
  </section>`;
}

function Overview({ document }) {
  const { info } = document.json;
  return html`<section class="dialect">
    <h2>${info.title}</h2>
    ${blocks(info.description)}
    <h3>Close codes</h3>
    <div class="table" role="region" aria-label="Close codes" tabindex="0"><table>
      <thead><tr><th scope="col">code</th><th scope="col">what happened</th><th scope="col">does the client come back?</th></tr></thead>
      <tbody>${info['x-close-codes'].map((row) => html`<tr><td><code>${row.code}</code></td><td>${row.meaning}</td><td>${row['comes-back'].replaceAll('-', ' ')}</td></tr>`)}</tbody>
    </table></div>
    <h3>Limits</h3>
    <div class="table" role="region" aria-label="Limits" tabindex="0"><table>
      <thead><tr><th scope="col">what</th><th scope="col">default</th><th scope="col">setting</th></tr></thead>
      <tbody>${info['x-limits'].map((row) => html`<tr><td>${row.what}</td><td>${row.value.toLocaleString('en')}</td><td><code>${row.setting.replace('TERTULIA_', '')}</code></td></tr>`)}</tbody>
    </table></div>
  </section>`;
}

/** Pages that stay where they were when the reader comes back to them. */
function pageOf(hash, dialects) {
  const name = hash.slice(1).split('/')[0];
  return dialects.some((dialect) => dialect.name === name) ? name : 'overview';
}

function Docs({ document }) {
  const dialects = document.dialects();
  const [page, setPage] = useState(pageOf(location.hash, dialects));
  const [example, setExample] = useState(null);
  onhashchange = () => {
    setPage(pageOf(location.hash, dialects));
    scrollTo(0, 0);
  };
  const dialect = dialects.find(({ name }) => name === page);
  const choose = (name) => (location.hash = name);
  return html`<div class="docs">
    <header class="docs-head">
      <a class="wordmark" href="/">Tertulia</a>
      <nav aria-label="Documents"><a href="/docs/websocket/" aria-current="page">WebSocket</a><a href="/swagger/">REST</a><a href="/redoc/">ReDoc</a><a href="/asyncapi.yaml">asyncapi.yaml</a><a href="/tertulia.js">tertulia.js</a></nav>
    </header>
    <nav class="docs-side" aria-label="Dialects">
      <a href="#overview" aria-current=${page === 'overview' ? 'page' : undefined}>Overview</a>
      ${dialects.map(({ name, title }) => html`<a href=${`#${name}`} aria-current=${page === name ? 'page' : undefined}><strong>${name}</strong><span>${title}</span></a>`)}
    </nav>
    <main class="docs-main">
      ${dialect ? html`<${Dialect} document=${document} dialect=${dialect} onTry=${(chosen) => setExample({ ...chosen })} />` : html`<${Overview} document=${document} />`}
    </main>
    <aside class="docs-try"><${Console} dialects=${dialects} chosen=${dialect?.name ?? 'chats'} onChoose=${choose} example=${example} /></aside>
  </div>`;
}

theme.apply();
const root = window.document.getElementById('docs');
try {
  const response = await fetch('/asyncapi.json');
  if (!response.ok) throw new Error(`HTTP ${response.status}`);
  render(html`<${Docs} document=${new Document(await response.json())} />`, root);
} catch (error) {
  render(html`<main class="docs-failed"><h1>The document couldn’t be loaded</h1><p>${error.message}</p></main>`, root);
}
