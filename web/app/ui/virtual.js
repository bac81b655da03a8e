// A long list of rows of unknown height, of which only those near the window are in the document.
//
// What is in view stays where it is while rows are measured, added above or changed: the first row in view is the
// anchor. At the end of the list the end is the anchor, so that what comes new is seen.

import { Component, html } from './html.js';

/** Rows this far outside are drawn as well, so that scrolling doesn't show gaps. */
const BEYOND = 700;
/** As near to the end as this is at the end. */
const END_SLACK = 48;
/** Room before the first row and after the last. */
const MARGIN = 12;
/** As near to an end as this asks for more. */
const MORE_WITHIN = 1200;

export class VirtualList extends Component {
  state = { start: 0, end: 30 };
  #heights = new Map();
  /** Where each row begins; last, where they end. */
  #offsets = [MARGIN];
  #anchor = null;
  #isAtEnd = true;
  #items = [];
  #width = 0;
  #target = null;
  #watch = null;
  /** Where the list was put: what is heard of that isn't the reader's scrolling. */
  #placed = -1;

  componentDidMount() {
    this.#watch = new ResizeObserver(() => this.#resized());
    this.#watch.observe(this.base);
    // Rows grow by themselves, too: when a font has come.
    this.#watch.observe(this.base.querySelector('.rows'));
    this.#settle();
  }

  componentWillUnmount() {
    this.#watch.disconnect();
  }

  componentDidUpdate() {
    this.#settle();
  }

  #resized() {
    const width = this.base.clientWidth;
    if (width !== this.#width) {
      this.#heights.clear();
      this.#width = width;
    }
    this.#settle();
  }

  /** Brings the row with this key into view. */
  show(key, where = 'center') {
    this.#target = { key, where };
    this.#isAtEnd = false;
    this.#settle();
  }

  toEnd() {
    this.#isAtEnd = true;
    this.#settle();
  }

  get isAtEnd() {
    return this.#isAtEnd;
  }

  #measure() {
    let isChanged = false;
    for (const row of this.base.querySelectorAll(':scope > .rows > [data-key]')) {
      const height = row.getBoundingClientRect().height;
      if (this.#heights.get(row.dataset.key) !== height) {
        this.#heights.set(row.dataset.key, height);
        isChanged = true;
      }
    }
    return isChanged;
  }

  #count() {
    const { items } = this.props;
    const offsets = new Array(items.length + 1);
    offsets[0] = MARGIN;
    for (let at = 0; at < items.length; at++) {
      offsets[at + 1] = offsets[at] + (this.#heights.get(items[at].key) ?? items[at].estimate);
    }
    this.#offsets = offsets;
    this.#items = items;
  }

  /** The row at a height. */
  #rowAt(y) {
    let low = 0;
    let high = this.#offsets.length - 2;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#offsets[middle] <= y) low = middle;
      else high = middle - 1;
    }
    return Math.max(0, low);
  }

  /** Measures what is drawn, and draws what should be, until the two are the same. */
  #settle() {
    const { base } = this;
    if (!base) return;
    const isMeasured = this.#measure();
    if (isMeasured || this.#items !== this.props.items) this.#count();
    const { items } = this.props;
    const total = this.#offsets.at(-1) + MARGIN;
    let top = base.scrollTop;
    if (this.#target) {
      const at = items.findIndex(({ key }) => key === this.#target.key);
      if (at >= 0) {
        const height = this.#offsets[at + 1] - this.#offsets[at];
        const lead = this.#target.where === 'center' ? (base.clientHeight - height) / 2 : 56;
        top = this.#offsets[at] - Math.max(0, lead);
      }
    } else if (this.#isAtEnd) {
      top = total;
    } else if (this.#anchor) {
      const at = items.findIndex(({ key }) => key === this.#anchor.key);
      if (at >= 0) top = this.#offsets[at] + this.#anchor.into;
    }
    top = Math.max(0, Math.min(top, total - base.clientHeight));
    const start = this.#rowAt(top - BEYOND);
    const end = Math.min(items.length, this.#rowAt(top + base.clientHeight + BEYOND) + 1);
    if (start !== this.state.start || end !== this.state.end || isMeasured) {
      this.setState({ start, end });
      return;
    }
    this.#target = null;
    if (Math.abs(base.scrollTop - top) >= 1) base.scrollTop = top;
    this.#placed = base.scrollTop;
    this.#remember();
    this.#askForMore();
  }


  #remember() {
    const { base } = this;
    const top = base.scrollTop;
    const at = this.#rowAt(top);
    const item = this.#items[at];
    this.#anchor = item ? { key: item.key, into: top - this.#offsets[at] } : null;
    const isAtEnd = base.scrollHeight - top - base.clientHeight <= END_SLACK;
    this.#isAtEnd = isAtEnd;
    this.props.onView?.({ isAtEnd });
  }

  #askForMore() {
    const { base } = this;
    if (base.scrollTop < MORE_WITHIN) this.props.onNearStart?.();
    if (base.scrollHeight - base.scrollTop - base.clientHeight < MORE_WITHIN) this.props.onNearEnd?.();
  }

  #scrolled = () => {
    if (this.base.scrollTop === this.#placed) return;
    this.#placed = -1;
    this.#remember();
    this.#askForMore();
    const top = this.base.scrollTop;
    const start = this.#rowAt(top - BEYOND / 2);
    const end = Math.min(this.#items.length, this.#rowAt(top + this.base.clientHeight + BEYOND / 2) + 1);
    if (start < this.state.start || end > this.state.end) {
      this.setState({
        start: this.#rowAt(top - BEYOND),
        end: Math.min(this.#items.length, this.#rowAt(top + this.base.clientHeight + BEYOND) + 1),
      });
    }
  };

  render({ items, row, label, onKeyDown }, { start, end }) {
    if (this.#items !== items) this.#count();
    const last = Math.min(end, items.length);
    const first = Math.min(start, last);
    const above = this.#offsets[first] ?? MARGIN;
    const below = Math.max(0, this.#offsets.at(-1) - (this.#offsets[last] ?? 0)) + MARGIN;
    return html`<div class="virtual" role="log" aria-live="off" aria-label=${label} tabindex="0" onScroll=${this.#scrolled} onKeyDown=${onKeyDown}>
      <div class="gap" style=${{ height: `${above}px` }}></div>
      <div class="rows">${items.slice(first, last).map((item) => html`<div class="row" data-key=${item.key} key=${item.key}>${row(item)}</div>`)}</div>
      <div class="gap" style=${{ height: `${below}px` }}></div>
    </div>`;
  }
}
