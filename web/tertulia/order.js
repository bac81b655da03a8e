// Which events are due: each once, in the order of its chat.

/**
 * Where the caller stands in each chat. `take` tells which numbered frames are due: each once, in order.
 *
 * While a chat is caught up with, its replay and what is live at the same time may overlap. What is live is
 * beyond all that was known before, and is held back until the replay has ended.
 */
export class Order {
  constructor(positions) {
    this.places = new Map();
    for (const [chat, seen] of Object.entries(positions)) this.places.set(Number(chat), { seen, catching: null });
  }

  /** Begins to catch up with `known`, from where the caller stands: the number to ask from. */
  catchUp(chat, known) {
    const place = this.places.get(chat);
    place.catching = { known, held: new Map() };
    return place.seen;
  }

  /** The frames that are due now that this one came; null where the service has to be asked for what lies between. */
  take(chat, frame) {
    const place = this.places.get(chat);
    if (!place) {
      this.places.set(chat, { seen: frame.seq, catching: null });
      return [frame];
    }
    if (frame.seq <= place.seen) return [];
    const isNext = frame.seq === place.seen + 1;
    if (!isNext && !place.catching) return null;
    if (!isNext && frame.seq > place.catching.known) {
      place.catching.held.set(frame.seq, frame);
      place.catching.known = frame.seq;
      return [];
    }
    place.seen = frame.seq;
    return [frame];
  }

  /** The replay has told all up to `seq`, and nothing follows it: the held frames are due. */
  caughtUp(chat, seq) {
    const place = this.places.get(chat);
    const held = [...(place.catching?.held.values() ?? [])].sort((a, b) => a.seq - b.seq);
    const due = held.filter((frame) => frame.seq > place.seen);
    place.seen = Math.max(place.seen, seq, due.at(-1)?.seq ?? 0);
    place.catching = null;
    return due;
  }
}
