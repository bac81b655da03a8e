// Where messages are written: drafts, answers, edits.

import { html, useLayoutEffect, useRef, useState } from './html.js';
import { Icon } from './icons.js';
import { drafts } from '../kept.js';
import { nameOf } from '../text.js';
import { t } from '../i18n.js';

/** Typing is said again this often while it goes on. */
const TYPING_EVERY = 4000;
const LINES_MAX = 8;

export function Composer({ store, chat, replyTo, editing, onDone, onEditLast, hasFiles, onFiles }) {
  const ref = useRef();
  const file = useRef();
  const [text, setText] = useState('');
  const typed = useRef(0);
  const { me, client } = store;

  // Before the next key comes: an effect after the frame would lose what is typed at once.
  useLayoutEffect(() => setText(drafts.get(me.id, chat.id)), [chat.id]);
  useLayoutEffect(() => {
    if (editing) setText(editing.text);
    if (editing || replyTo) ref.current.focus();
  }, [editing, replyTo]);
  useLayoutEffect(() => {
    // A phone's keyboard would cover what is to be read first.
    if (matchMedia('(hover: hover)').matches) ref.current.focus();
  }, [chat.id]);
  useLayoutEffect(() => {
    const area = ref.current;
    area.style.height = 'auto';
    const line = parseFloat(getComputedStyle(area).lineHeight);
    area.style.height = `${Math.min(area.scrollHeight, line * LINES_MAX + 20)}px`;
  }, [text, chat.id]);

  const write = (next) => {
    setText(next);
    if (editing) return;
    drafts.set(me.id, chat.id, next);
    if (next.trim() && Date.now() - typed.current > TYPING_EVERY) {
      typed.current = Date.now();
      client.typing(chat.id, true);
    }
  };
  const leave = () => {
    setText(editing ? drafts.get(me.id, chat.id) : text);
    onDone();
  };
  const submit = (event) => {
    event?.preventDefault();
    const said = text.trim();
    if (!said) return;
    if (editing) {
      if (said !== editing.text) void store.attempt(() => client.edit(chat.id, editing.id, said));
      return leave();
    }
    client.send(chat.id, said, { replyTo: replyTo?.id });
    if (typed.current) client.typing(chat.id, false);
    typed.current = 0;
    drafts.set(me.id, chat.id, '');
    setText('');
    onDone(true);
    ref.current.focus();
    return undefined;
  };
  const onKeyDown = (event) => {
    if (event.isComposing || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === 'Enter' && !event.shiftKey) submit(event);
    else if (event.key === 'Escape' && (editing || replyTo)) leave();
    else if (event.key === 'ArrowUp' && !text && !editing) onEditLast(event);
    else return;
    event.stopPropagation();
  };
  const onPaste = (event) => {
    const files = [...event.clipboardData.files];
    if (!hasFiles || files.length === 0) return;
    event.preventDefault();
    onFiles(files);
  };
  const context = editing ?? replyTo;
  return html`<form class="composer" onSubmit=${submit}>
    ${context && html`<div class="composer-context">
      <${Icon} name=${editing ? 'edit' : 'reply'} />
      <div class="quote still">
        <span class="quote-name">${editing ? t('editing') : nameOf(context.sender)}</span>
        <span class="quote-text">${context.text}</span>
      </div>
      <button type="button" class="icon-button" aria-label=${t('cancel')} onClick=${leave}><${Icon} name="close" /></button>
    </div>`}
    <div class="composer-row">
      ${hasFiles && html`<button type="button" class="icon-button" aria-label=${t('attach')} onClick=${() => file.current.click()}><${Icon} name="attach" /></button>
        <input ref=${file} type="file" hidden multiple aria-hidden="true" tabindex="-1" onChange=${(event) => { onFiles([...event.target.files]); event.target.value = ''; }} />`}
      <textarea ref=${ref} rows="1" class="composer-text" dir="auto" placeholder=${t('writeMessage')} aria-label=${t('writeMessage')}
        value=${text} onInput=${(event) => write(event.target.value)} onKeyDown=${onKeyDown} onPaste=${onPaste} enterkeyhint="send"></textarea>
      <button type="submit" class="send" aria-label=${editing ? t('save') : t('send')} disabled=${!text.trim()}>
        <${Icon} name=${editing ? 'check' : 'send'} />
      </button>
    </div>
  </form>`;
}
