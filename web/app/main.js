// The chat page begins.

import { theme, tokens } from './kept.js';
import { Store } from './store.js';
import { App } from './ui/app.js';
import { html, render } from './ui/html.js';

theme.apply();
const store = new Store();
tokens.onElsewhere(() => void store.start());
render(html`<${App} store=${store} />`, document.getElementById('app'));
void store.start();
