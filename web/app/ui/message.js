// One message, and what may be done with it.

import { Component, html } from './html.js';
import { Avatar } from './avatar.js';
import { Icon } from './icons.js';
import { isOnlyEmoji, nameOf, parts } from '../text.js';
import { t, time } from '../i18n.js';
import { reason } from '../reason.js';

/** Without a pointer that hovers a tap opens the menu: there is no button to be shown. */
const CAN_HOVER = matchMedia('(hover: hover)');
export const QUICK = ['👍', '❤️', '😂', '🎉', '😮', '😢'];

/** Plain strings and links, nothing else. */
export function Text({ text }) {
  return parts(text).map((part) =>
    typeof part === 'string'
      ? part
      : html`<a href=${part.href} target="_blank" rel="noopener noreferrer nofollow">${part.text}</a>`,
  );
}

function Ticks({ state, isRead }) {
  if (state === 'failed') return html`<${Icon} name="warning" label=${t('notSent')} />`;
  if (state) return html`<${Icon} name="clock" label=${t('waiting')} />`;
  return isRead ? html`<${Icon} name="checks" label=${t('read')} />` : html`<${Icon} name="check" label=${t('sent')} />`;
}

/** What a browser shows by itself; whatever else is only fetched. */
const PICTURES = ['image/png', 'image/jpeg', 'image/webp', 'image/gif'];

/** A file. Its address is good for an hour: a new one is asked for when it is wanted. */
function Attachment({ file, onRenew }) {
  const fetchIt = async (event) => {
    event.preventDefault();
    const renewed = await onRenew();
    if (!renewed) return;
    const link = document.createElement('a');
    link.href = renewed.attachment.url;
    link.download = file.name;
    link.click();
  };
  const size = t('kilobytes', { count: Math.max(1, Math.round(file.bytes / 1024)) });
  return html`<a class=${PICTURES.includes(file.content_type) ? 'file picture-file' : 'file'} href=${file.url} download=${file.name} onClick=${fetchIt}>
    ${PICTURES.includes(file.content_type) && html`<img src=${file.url} alt=${file.name} loading="lazy" onError=${onRenew} />`}
    <span class="file-icon"><${Icon} name="file" /></span>
    <span class="file-name">${file.name}</span>
    <span class="file-size">${size}</span>
  </a>`;
}

function Reactions({ tally, me, onToggle }) {
  if (!tally || tally.size === 0) return null;
  return html`<div class="reactions">
    ${[...tally].map(
      ([emoji, users]) => html`<button type="button" key=${emoji} class="reaction" aria-pressed=${users.has(me) ? 'true' : 'false'}
        title=${[...users.values()].join(', ')} onClick=${() => onToggle(emoji, !users.has(me))}>
        <span>${emoji}</span><span>${users.size}</span><span class="unseen">${t('reactionBy', { names: [...users.values()].join(', ') })}</span>
      </button>`,
    )}
  </div>`;
}

/** Drawn anew only when what it shows is another: a list of them is drawn at every event. */
export class Message extends Component {
  shouldComponentUpdate(next) {
    return Object.keys(next).some((key) => typeof next[key] !== 'function' && next[key] !== this.props[key]);
  }

  render({ message, isOwn, isFirst, isLast, showsSender, replied, tally, me, isRead, pending, picture, isMarked, onAct, onToggle, onJump, onRenew }) {
    const { text, is_deleted: isDeleted, attachment } = message;
    const at = new Date(message.timestamp);
    const name = nameOf(message.sender);
    const isLarge = !isDeleted && !attachment && isOnlyEmoji(text);
    const classNames = ['message', isOwn ? 'own' : 'theirs', isFirst && 'first', isLast && 'last', isLarge && 'large', isMarked && 'marked', pending?.state];
    const open = (event) => {
      event.preventDefault();
      onAct(event.currentTarget.getBoundingClientRect());
    };
    return html`<article class=${classNames.filter(Boolean).join(' ')} tabindex="-1" aria-label=${`${name}, ${time(at)}`} onContextMenu=${(event) => {
      if (event.target.closest('a') || String(getSelection())) return;
      event.preventDefault();
      onAct({ x: event.clientX, y: event.clientY });
    }}>
      ${showsSender && html`<div class="message-avatar">${isLast && html`<${Avatar} id=${message.sender.id} name=${name} picture=${picture} size="small" />`}</div>`}
      <div class="bubble-column">
        <div class="bubble" onClick=${(event) => {
          if (CAN_HOVER.matches || event.target.closest('a, button')) return;
          onAct({ x: event.clientX, y: event.clientY });
        }}>
          ${showsSender && isFirst && html`<div class=${`sender tone-${message.sender.id % 8}`}>${name}</div>`}
          ${message.reply_to && html`<button type="button" class="quote" onClick=${() => onJump(message.reply_to)}>
            <span class="quote-name">${replied ? nameOf(replied.sender) : t('message')}</span>
            <span class="quote-text">${replied ? (replied.is_deleted ? t('deleted') : replied.text) : t('showMessage')}</span>
          </button>`}
          ${attachment && !isDeleted && html`<${Attachment} file=${attachment} onRenew=${onRenew} />`}
          ${isDeleted
            ? html`<span class="deleted">${t('deleted')}</span>`
            : !attachment && html`<span class="text" dir="auto"><${Text} text=${text} /></span>`}
          <span class="meta">
            ${message.is_edited && !isDeleted && html`<span>${t('edited')}</span>`}
            <time datetime=${message.timestamp} title=${at.toLocaleString()}>${time(at)}</time>
            ${isOwn && !isDeleted && html`<${Ticks} state=${pending?.state} isRead=${isRead} />`}
          </span>
        </div>
        <${Reactions} tally=${tally} me=${me} onToggle=${onToggle} />
        ${pending?.state === 'failed' && html`<div class="failed-line">${reason(pending)}</div>`}
        ${pending?.delayedUntil > Date.now() && html`<div class="failed-line quiet">${t('sendsAt', { time: time(new Date(pending.delayedUntil)) })}</div>`}
      </div>
      ${(!isDeleted || pending) && html`<button type="button" class="icon-button act" aria-label=${t('actions')} aria-haspopup="menu" onClick=${open}><${Icon} name="more" /></button>`}
    </article>`;
  }
}
