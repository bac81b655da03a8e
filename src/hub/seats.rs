//! Who sits in a chat on this node, and how events reach them all.

use std::time::Instant;

use entity::Seq;
use indexmap::IndexMap;

use super::{
    SharedFrame,
    delivery::{Seat, Telling},
};
use crate::chat::ConnectionId;

/// The seats of a chat. A map with its entries in one row: joining and leaving cost the same however many sit here,
/// and who tells them all walks along the row.
#[derive(Debug)]
pub(super) struct Seats {
    sittings: IndexMap<ConnectionId, Sitting>,
    empty_since: Option<Instant>,
}

/// A connection that hears the chat, from a number on.
#[derive(Debug)]
struct Sitting {
    seat: Seat,
    /// What it has heard already: a replay may be ahead of the hub.
    after: Seq,
}

impl Seats {
    /// Nobody sits here.
    pub(super) fn new() -> Self {
        Seats {
            sittings: IndexMap::new(),
            empty_since: Some(Instant::now()),
        }
    }

    /// Seats a connection that hears what comes after a number; `greeting` goes before that.
    pub(super) fn add(&mut self, seat: Seat, after: Seq, greeting: Option<SharedFrame>) {
        if let Some(frame) = greeting {
            // Where the connection is ending, its seat is taken away with it.
            let _ = seat.queue.answer(frame);
        }
        self.sittings
            .insert(seat.connection, Sitting { seat, after });
        self.empty_since = None;
    }

    /// Takes a seat away.
    pub(super) fn leave(&mut self, connection: ConnectionId) {
        if self.sittings.swap_remove(&connection).is_some() {
            self.look_around();
        }
    }

    /// Whether a connection sits here.
    pub(super) fn holds(&self, connection: ConnectionId) -> bool {
        self.sittings.contains_key(&connection)
    }

    /// Whether nobody has sat here since a moment.
    pub(super) fn are_empty_since(&self, before: Instant) -> bool {
        self.empty_since.is_some_and(|since| since <= before)
    }

    /// Puts events into every seat's queue, all of them at once: so each connection is locked, counted and woken once
    /// a burst. Seats that an event ends, and those whose connection is ending, are given up.
    pub(super) fn tell(&mut self, burst: &mut [Telling]) {
        if burst.is_empty() || self.sittings.is_empty() {
            return;
        }
        let mut frames = Vec::with_capacity(burst.len());
        self.sittings.retain(|_, Sitting { seat, after }| {
            let mut end = None;
            for telling in burst.iter_mut() {
                let event = telling.event();
                let is_known = event.seq.is_some_and(|seq| seq <= *after);
                if is_known || (event.is_presence() && !seat.hears_presence) {
                    continue;
                }
                frames.extend(telling.frame(seat));
                end = seat.end(telling.event());
                if end.is_some() {
                    break;
                }
            }
            let stays = frames.is_empty() || seat.queue.push_all(&mut frames);
            if let Some(close) = end {
                seat.queue.close(close);
            }
            stays && end.is_none()
        });
        self.look_around();
    }

    /// An empty row holds no memory.
    fn look_around(&mut self) {
        if self.sittings.is_empty() {
            self.sittings = IndexMap::new();
            self.empty_since = Some(Instant::now());
        }
    }
}
