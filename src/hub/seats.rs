//! Who sits in a chat on this node, and how events reach them all.

use std::time::Instant;

use entity::{ChatId, Seq};
use indexmap::IndexMap;

use super::{
    Close, SharedFrame,
    delivery::{Seat, Telling},
    follow::{Report, Reports},
    heard::{Alike, Heard},
    round::Round,
    unread::{Tally, Unread},
};
use crate::{
    chat::{ConnectionId, What},
    metrics,
};

/// The seats of a chat. A map with its entries in one row: joining and leaving cost the same however many sit here,
/// and who tells them all walks along the row.
#[derive(Debug)]
pub(super) struct Seats {
    sittings: IndexMap<ConnectionId, Sitting>,
    empty_since: Option<Instant>,
}

/// A connection that hears the chat, from a number on.
#[derive(Clone, Debug)]
pub(super) struct Sitting {
    pub(super) seat: Seat,
    /// What it has heard already: a replay may be ahead of the hub.
    pub(super) after: Seq,
    pub(super) attention: Attention,
    /// What its user hasn't read, where it is told.
    pub(super) tally: Option<Tally>,
}

/// How much of the chat a seat hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attention {
    /// Everything.
    Full,
    /// Nothing: its user doesn't see the chat. Who keeps its seats is told when something is said, once.
    Quiet,
    /// Nothing, and it was told so.
    Stirred,
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
        let tally = seat.reports.as_ref().and_then(Reports::tally);
        self.put(Sitting {
            seat,
            after,
            attention: Attention::Full,
            tally,
        });
    }

    /// Seats a connection that follows all chats of its user, once it has heard `frames` and what it missed. False where
    /// that ended it, or it is ending.
    pub(super) fn follow(
        &mut self,
        mut sitting: Sitting,
        missed: &mut [Telling],
        frames: &mut Vec<SharedFrame>,
    ) -> bool {
        let mut heard = Heard::default();
        let has_ended = sitting.hear(missed, &mut heard).is_some();
        heard.take(missed, frames);
        if let Some(last) = missed.last().and_then(|telling| telling.event().seq) {
            sitting.after = last;
        }
        let stays = !has_ended && sitting.seat.queue.push_all(frames);
        if stays {
            self.put(sitting);
        }
        stays
    }

    fn put(&mut self, sitting: Sitting) {
        self.sittings.insert(sitting.seat.connection, sitting);
        self.empty_since = None;
    }

    /// What a connection's user hasn't read, once after each time that it was reported to have changed.
    pub(super) fn take_unread(
        &mut self,
        connection: ConnectionId,
        delivered: Seq,
    ) -> Option<Unread> {
        let sitting = self.sittings.get_mut(&connection)?;
        let is_shown = sitting.attention == Attention::Full;
        let tally = sitting.tally.as_mut().filter(|_| is_shown)?;
        // It may have heard more than the hub has told.
        tally.take_unread(delivered.max(sitting.after))
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

    /// Whether a connection hears all of the chat.
    pub(super) fn hears(&self, connection: ConnectionId) -> bool {
        let sitting = self.sittings.get(&connection);
        sitting.is_some_and(|sitting| sitting.attention == Attention::Full)
    }

    /// Whether nobody has sat here since a moment.
    pub(super) fn are_empty_since(&self, before: Instant) -> bool {
        self.empty_since.is_some_and(|since| since <= before)
    }

    /// Puts events into every seat's queue, all of them at once: so each connection is locked, counted and written to
    /// once a burst. Seats that an event ends, and those whose connection is ending, are given up.
    pub(super) fn tell(&mut self, burst: &mut [Telling], round: &mut Round) {
        if burst.is_empty() || self.sittings.is_empty() {
            return;
        }
        let (mut heard, mut alike) = (Heard::default(), Alike::default());
        let mut frames = Vec::with_capacity(burst.len());
        let mut delivered = 0;
        self.sittings.retain(|_, sitting| {
            let end = sitting.hear(burst, &mut heard);
            let seat = &sitting.seat;
            delivered += heard.len();
            alike.take(&mut heard, burst, &mut frames);
            let stays = frames.is_empty() || seat.queue.push_in_round(&mut frames, round);
            if let Some((chat, close)) = end {
                seat.give_up(chat, close);
            }
            stays && end.is_none()
        });
        metrics::BURSTS.one();
        metrics::DELIVERIES.add(delivered);
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

impl Sitting {
    /// Encodes what it will be told, before it holds anybody up.
    pub(super) fn prepare(&self, telling: &mut Telling) {
        if self.attention == Attention::Full {
            telling.encoding(&self.seat);
        }
    }

    /// What it is owed of a burst is noted in `heard`; where an event ends it, that is the last, and comes back.
    fn hear(&mut self, burst: &mut [Telling], heard: &mut Heard) -> Option<(ChatId, Close)> {
        let seat = &self.seat;
        for (place, telling) in burst.iter_mut().enumerate() {
            let event = telling.event();
            let is_known = event.seq.is_some_and(|seq| seq <= self.after);
            if is_known {
                continue;
            }
            let end = telling.end(seat);
            if self.attention == Attention::Full {
                if let Some(tally) = &mut self.tally
                    && tally.hears(event, seat, telling.head())
                {
                    let chat = telling.head().id;
                    seat.report(|connection| Report::Unread(connection, chat));
                }
                let hides = seat.hides(event);
                seat.shows(event, telling.head());
                if !seat.is_deaf_to(event) {
                    heard.add(place, telling.encoding(seat));
                }
                if end.is_some() || hides {
                    heard.last(telling.farewell(seat));
                }
                if hides {
                    self.attention = Attention::Quiet;
                }
            } else if self.attention == Attention::Quiet && matches!(event.what, What::Sent(_)) {
                self.attention = Attention::Stirred;
                let chat = telling.head().id;
                seat.report(|connection| Report::Stirred(connection, chat));
            }
            if let Some(close) = end {
                return Some((telling.head().id, close));
            }
        }
        None
    }
}
