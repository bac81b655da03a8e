// Line icons on a grid of 24.

import { html } from './html.js';

const PATHS = {
  attach: 'M20 11.5 12.3 19a5 5 0 0 1-7.1-7.1l8-7.9a3.4 3.4 0 0 1 4.8 4.8l-8 7.9a1.7 1.7 0 0 1-2.4-2.4l7.2-7.1',
  back: 'M15 5l-7 7 7 7',
  ban: 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM5.8 5.8l12.4 12.4',
  check: 'M5 12.5l4.5 4.5L19 7.5',
  checks: 'M2 12.5l4.5 4.5L15 8.5M11.5 16l1 1L22 7.5',
  clock: 'M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16zM12 8v4l2.5 2',
  close: 'M6 6l12 12M18 6L6 18',
  copy: 'M9 9h10v10H9zM5 15V5h10',
  desk: 'M4 13v-1a8 8 0 0 1 16 0v1M4 13h3v6H5a1 1 0 0 1-1-1zM20 13h-3v6h2a1 1 0 0 0 1-1zM19 19c0 1.5-2 2-4.5 2H13',
  down: 'M6 9l6 6 6-6',
  download: 'M12 4v11M7.5 11l4.5 4.5 4.5-4.5M5 20h14',
  edit: 'M4 20l1-4L16.5 4.5a2 2 0 0 1 3 3L8 19z',
  file: 'M7 3h7l4 4v14H7zM14 3v4h4',
  group: 'M9 11a3.2 3.2 0 1 0 0-6.400A3.2 3.2 0 0 0 9 11zM3 19c.4-3.2 2.8-5 6-5s5.6 1.8 6 5M16 5a3.2 3.2 0 0 1 0 6M17.5 14.300c2 .7 3.2 2.3 3.5 4.7',
  info: 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 11v5M12 8v.01',
  leave: 'M14 4H6v16h8M10 12h10M17 9l3 3-3 3',
  menu: 'M4 7h16M4 12h16M4 17h16',
  more: 'M5.5 12h.01M12 12h.01M18.5 12h.01',
  offline: 'M3 3l18 18M5 10.5c1-.9 2.2-1.6 3.5-2M2 7.5a15 15 0 0 1 3-2M10 5a15 15 0 0 1 12 2.5M14.5 9c1.7.3 3.2.9 4.5 1.800M8.5 14.5a6 6 0 0 1 5-1.300M12 18.5v.01',
  person: 'M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4.5 20c.6-3.7 3.6-5.5 7.5-5.5s6.9 1.8 7.5 5.5',
  plus: 'M12 5v14M5 12h14',
  reply: 'M10 6l-6 6 6 6M4 12h9c4 0 7 2 7 6',
  room: 'M9 4L7 20M17 4l-2 16M4.5 9h16M3.5 15h16',
  search: 'M11 4.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM16 16l4.5 4.5',
  send: 'M4.5 12L4 4.5 21 12 4 19.5zM4.5 12H12',
  settings: 'M4 7h9M17 7h3M4 17h3M11 17h9M15 4.800v4.400M9 14.800v4.4',
  smile: 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM8.5 14.5c.8 1.2 2 1.8 3.5 1.800s2.7-.6 3.5-1.800M9 9.5v.01M15 9.5v.01',
  trash: 'M5 7h14M10 7V4.5h4V7M6.5 7l1 13h9l1-13M10 11v5M14 11v5',
  warning: 'M12 4L2.5 20h19zM12 10v4.5M12 17.200v.01',
};

export function Icon({ name, label }) {
  return html`<svg class=${`icon icon-${name}`} viewBox="0 0 24 24" role=${label ? 'img' : undefined} aria-label=${label} aria-hidden=${label ? undefined : 'true'}>
    <path d=${PATHS[name]} />
  </svg>`;
}
