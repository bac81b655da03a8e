// The few marks that the document's texts use: headings, paragraphs, words in the form of code.

import { html } from '../vendor/preact-htm.js';

/** A line with its `code` set apart. */
export function inline(text = '') {
  return text.split('`').map((part, at) => (at % 2 ? html`<code>${part}</code>` : part));
}

export function blocks(text = '') {
  return text
    .trim()
    .split(/\n\s*\n|\n(?=#)/)
    .flatMap((block) => {
      const [, heading, rest] = block.match(/^##\s+(.*)\n?([\s\S]*)$/) ?? [null, null, block];
      return [heading && html`<h3>${heading}</h3>`, rest.trim() && html`<p>${inline(rest.trim())}</p>`];
    });
}
