// Dialogs and menus: the browser keeps the focus inside the one, we inside the other.

import { html, useEffect, useLayoutEffect, useRef } from './html.js';
import { Icon } from './icons.js';
import { t } from '../i18n.js';

export function Dialog({ title, onClose, children, wide }) {
  const ref = useRef();
  useEffect(() => {
    const before = document.activeElement;
    ref.current.showModal();
    return () => before?.focus?.();
  }, []);
  const onCancel = (event) => {
    event.preventDefault();
    onClose();
  };
  // A click on the backdrop is one on the dialog itself.
  const onPointerDown = (event) => event.target === ref.current && onClose();
  return html`<dialog ref=${ref} class=${wide ? 'dialog wide' : 'dialog'} aria-label=${title} onCancel=${onCancel} onPointerDown=${onPointerDown}>
    <div class="dialog-body">
      <header class="dialog-head">
        <h2>${title}</h2>
        <button type="button" class="icon-button" aria-label=${t('close')} onClick=${onClose}><${Icon} name="close" /></button>
      </header>
      ${children}
    </div>
  </dialog>`;
}

/** Asks before what can't be undone. */
export function Confirm({ title, text, action, onConfirm, onClose }) {
  return html`<${Dialog} title=${title} onClose=${onClose}>
    <p class="dialog-text">${text}</p>
    <footer class="dialog-foot">
      <button type="button" class="button" onClick=${onClose}>${t('cancel')}</button>
      <button type="button" class="button danger" onClick=${() => { onClose(); onConfirm(); }}>${action}</button>
    </footer>
  <//>`;
}

const MARGIN = 8;

/** A list of actions beside what opened it: `items` are `{ label, icon, act, isDanger }`. */
export function Menu({ at, items, onClose, label, children }) {
  const ref = useRef();
  useLayoutEffect(() => {
    const menu = ref.current;
    const { width, height } = menu.getBoundingClientRect();
    const left = Math.min(at.right === undefined ? at.x : at.right - width, innerWidth - width - MARGIN);
    const below = (at.bottom ?? at.y) + 4;
    const top = below + height + MARGIN > innerHeight ? (at.top ?? at.y) - height - 4 : below;
    menu.style.left = `${Math.max(MARGIN, left)}px`;
    menu.style.top = `${Math.max(MARGIN, Math.min(top, innerHeight - height - MARGIN))}px`;
    const before = document.activeElement;
    menu.querySelector('[role=menuitem]')?.focus();
    return () => before?.isConnected && before.focus();
  }, []);
  const onKeyDown = (event) => {
    const all = [...ref.current.querySelectorAll('[role=menuitem]')];
    const here = all.indexOf(document.activeElement);
    const steps = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 };
    if (steps[event.key]) all.at((here + steps[event.key]) % all.length).focus();
    else if (event.key === 'Home') all[0].focus();
    else if (event.key === 'End') all.at(-1).focus();
    else if (event.key === 'Escape' || event.key === 'Tab') onClose();
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  const choose = (act) => () => {
    onClose();
    act();
  };
  return html`<div class="menu-veil" onPointerDown=${(event) => event.target === event.currentTarget && onClose()}>
    <div class="menu" role="menu" aria-label=${label} ref=${ref} onKeyDown=${onKeyDown}>
      ${children}
      ${items.filter(Boolean).map(
        ({ label, icon, act, isDanger }) => html`<button type="button" role="menuitem" tabindex="-1" class=${isDanger ? 'menu-item danger' : 'menu-item'} onClick=${choose(act)}>
          ${icon && html`<${Icon} name=${icon} />`}<span>${label}</span>
        </button>`,
      )}
    </div>
  </div>`;
}
