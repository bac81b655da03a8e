// Beginning a conversation: with one person, with several, in a room.

import { html, useState } from './html.js';
import { Dialog } from './dialog.js';
import { Icon } from './icons.js';
import { PeoplePicker } from './people.js';
import { nameOf } from '../text.js';
import { t } from '../i18n.js';

const KINDS = ['personal', 'group', 'room'];
const ICONS = { personal: 'person', group: 'group', room: 'room' };

function Group({ store, onMade }) {
  const [name, setName] = useState('');
  const [people, setPeople] = useState([]);
  const make = async (event) => {
    event.preventDefault();
    const chat = await store.attempt(() => store.create({ kind: 'group', name: name.trim(), members: people.map(({ id }) => id) }));
    if (chat) onMade(chat);
  };
  return html`<form onSubmit=${make}>
    <label class="field"><span>${t('name')}</span><input required maxlength="100" value=${name} onInput=${(event) => setName(event.target.value)} /></label>
    ${people.length > 0 && html`<ul class="chips">${people.map((person) => html`<li key=${person.id}>${nameOf(person)}
      <button type="button" aria-label=${t('removeName', { name: nameOf(person) })} onClick=${() => setPeople(people.filter((other) => other !== person))}><${Icon} name="close" /></button></li>`)}</ul>`}
    <${PeoplePicker} store=${store} label=${t('whoElse')} without=${people.map(({ id }) => id)} onPick=${(person) => setPeople([...people, person])} />
    <footer class="dialog-foot"><button type="submit" class="button primary" disabled=${!name.trim()}>${t('makeGroup')}</button></footer>
  </form>`;
}

function Room({ store, onMade }) {
  const [name, setName] = useState('');
  const [isBusy, setIsBusy] = useState(false);
  const enter = async (event) => {
    event.preventDefault();
    setIsBusy(true);
    const chat = await store.attempt(() => store.enterRoom(name.trim()));
    setIsBusy(false);
    if (chat) onMade(chat);
  };
  return html`<form onSubmit=${enter}>
    <label class="field"><span>${t('roomName')}</span><input required maxlength="100" value=${name} onInput=${(event) => setName(event.target.value)} /></label>
    <p class="hint">${t('roomHint')}</p>
    <footer class="dialog-foot"><button type="submit" class="button primary" disabled=${!name.trim() || isBusy}>${t('enterRoom')}</button></footer>
  </form>`;
}

export function NewChat({ store, onClose, onMade, onPerson }) {
  const [kind, setKind] = useState('personal');
  return html`<${Dialog} title=${t('newChat')} onClose=${onClose}>
    <div class="segments" role="group" aria-label=${t('kind')}>
      ${KINDS.map((each) => html`<button type="button" key=${each} aria-pressed=${kind === each ? 'true' : 'false'} onClick=${() => setKind(each)}><${Icon} name=${ICONS[each]} />${t(each)}</button>`)}
    </div>
    ${kind === 'personal' && html`<${PeoplePicker} store=${store} onPick=${onPerson} />`}
    ${kind === 'group' && html`<${Group} store=${store} onMade=${onMade} />`}
    ${kind === 'room' && html`<${Room} store=${store} onMade=${onMade} />`}
  <//>`;
}
