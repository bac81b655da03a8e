// A round picture, or letters on one of eight quiet colours.

import { html, useState } from './html.js';
import { Icon } from './icons.js';
import { initials } from '../text.js';

const KIND_ICONS = { room: 'room', support: 'desk' };

export function Avatar({ id, name, picture, kind, isThere, size = 'medium' }) {
  const [broken, setBroken] = useState(null);
  const shown = picture && picture !== broken;
  return html`<span class=${`avatar ${size} tone-${id % 8}`} aria-hidden="true">
    ${shown
      ? html`<img src=${picture} alt="" loading="lazy" onError=${() => setBroken(picture)} />`
      : KIND_ICONS[kind]
        ? html`<${Icon} name=${KIND_ICONS[kind]} />`
        : initials(name)}
    ${isThere && html`<span class="there"></span>`}
  </span>`;
}
