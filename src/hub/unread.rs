//! How much a user hasn't read in a chat, kept as events pass, so that it needn't be counted again for each of them.
//!
//! Relies on: it hears every event of the chat from the number on at which the count was read.

use entity::{Seq, UserId};

use super::delivery::Seat;
use crate::chat::{ChatEvent, ChatHead, Message, What};

/// Counted no further.
const UNREAD_MAX: u64 = 1000;

/// What a follower's user hasn't read in one chat.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// Others' messages after `last_read` that aren't deleted; none where it must be counted by the database.
    count: Option<u64>,
    last_read: Seq,
    /// Whoever tells it knows that it has changed.
    is_reported: bool,
}

/// What is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// So many.
    Count(u64),
    /// The database knows.
    Uncounted,
}

impl Tally {
    /// As it was read.
    pub(super) fn new(count: u64, last_read: Seq) -> Self {
        Tally {
            count: Some(count),
            last_read,
            is_reported: false,
        }
    }

    /// Takes an event into account. Whether it is to be reported that the count has changed.
    pub(super) fn hears(&mut self, event: &ChatEvent, seat: &Seat, head: &ChatHead) -> bool {
        // A mark of reading may overtake the messages that it is about.
        let last_read = self.last_read;
        let is_unread =
            |message: &Message| message.sender.id != seat.user && message.seq > last_read;
        match &event.what {
            What::Sent(message) if is_unread(message) => {
                self.count = self.count.map(|count| (count + 1).min(UNREAD_MAX));
            }
            What::Deleted(message) if is_unread(message) => {
                // At the limit there may be more than were counted.
                self.count = self
                    .count
                    .filter(|count| *count < UNREAD_MAX)
                    .map(|count| count.saturating_sub(1));
            }
            What::Read {
                user,
                last_read_seq,
                ..
            } if reads_for(user.id, seat, head) => {
                self.last_read = self.last_read.max(*last_read_seq);
                self.count = None;
            }
            What::Sent(_)
            | What::Deleted(_)
            | What::Read { .. }
            | What::Edited(_)
            | What::ReactionAdded { .. }
            | What::ReactionRemoved { .. }
            | What::MemberJoined { .. }
            | What::MemberLeft { .. }
            | What::MemberChanged { .. }
            | What::ChatUpdated(_)
            | What::ChatDeleted(_)
            | What::Typing { .. }
            | What::Entered(_)
            | What::Left { .. }
            | What::Presence(_)
            | What::Opened { .. }
            | What::Passed(_)
            | What::Hidden => return false,
        }
        !std::mem::replace(&mut self.is_reported, true)
    }

    /// What is to be told, once after each report, where the chat stands at `delivered`.
    pub(super) fn take_unread(&mut self, delivered: Seq) -> Option<Unread> {
        if self.count.is_none() && self.last_read >= delivered {
            self.count = Some(0);
        }
        let is_news = std::mem::take(&mut self.is_reported);
        is_news.then(|| self.count.map_or(Unread::Uncounted, Unread::Count))
    }
}

/// Whether what somebody has read counts as read for a seat: one's own marks, and among operators anybody's.
fn reads_for(reader: UserId, seat: &Seat, head: &ChatHead) -> bool {
    match head.customer {
        Some(customer) if seat.is_operator => reader != customer,
        _ => reader == seat.user,
    }
}
