//! What a hub has delivered last: for connections that resume, and for those whose membership was read a moment ago.
//!
//! Relies on: its events are pushed in the order of their numbers, without a gap.
//! Bounded by: `EVENTS_MAX` and `TEXT_BYTES_MAX` a chat, the oldest go first.

use std::{collections::VecDeque, sync::Arc};

use entity::{Seq, UserId};

use super::{Close, delivery::Seat};
use crate::chat::{ChatEvent, Message, What};

/// Events kept.
const EVENTS_MAX: usize = 128;
/// Bytes of their messages' texts: some 250 an event, which most messages don't need.
const TEXT_BYTES_MAX: usize = 32 << 10;
/// Who resumes is given addresses of files that hold for so long at least.
const LINK_LEFT_SECONDS: i64 = 1800;

/// The last events of a chat.
#[derive(Debug, Default)]
pub(super) struct Memory {
    events: VecDeque<Arc<ChatEvent>>,
    text_bytes: usize,
}

/// What became of a membership between being read and being seated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Membership {
    /// Nothing that ends it was delivered.
    Holds,
    /// It has ended.
    Ended(Close),
    /// The hub doesn't remember: to be read again.
    Unknown,
}

impl Memory {
    /// Keeps the next event. Messages that it changes are kept in their latest state from now on.
    pub(super) fn push(&mut self, event: &Arc<ChatEvent>) {
        if let What::Edited(message) | What::Deleted(message) = &event.what {
            self.update(message);
        }
        self.text_bytes += text_bytes(event);
        self.events.push_back(event.clone());
        while self.events.len() > EVENTS_MAX || self.text_bytes > TEXT_BYTES_MAX {
            let Some(oldest) = self.events.pop_front() else {
                return;
            };
            self.text_bytes -= text_bytes(&oldest);
        }
    }

    /// What came after `since`; none where that isn't remembered, or shows a file whose address ends soon: read from
    /// the database, it has a new one.
    pub(super) fn since(&self, since: Seq) -> Option<impl Iterator<Item = &Arc<ChatEvent>>> {
        let oldest = self.events.front()?.seq?;
        let known = usize::try_from(since.next().0.checked_sub(oldest.0)?).ok()?;
        let soon = chrono::Utc::now().timestamp() + LINK_LEFT_SECONDS;
        let mut told = self.events.iter().skip(known);
        match told.any(|event| event.ends_before(soon)) {
            true => None,
            false => Some(self.events.iter().skip(known)),
        }
    }

    /// Whether a membership that was read at `checked_at` was ended by what came since.
    pub(super) fn membership(&self, seat: &Seat, checked_at: Seq) -> Membership {
        let Some(since) = self.since(checked_at) else {
            return Membership::Unknown;
        };
        let mut membership = Membership::Holds;
        for event in since {
            if let Some(close) = seat.end(event) {
                membership = Membership::Ended(close);
            } else if joins(event, seat.user) {
                membership = Membership::Holds;
            }
        }
        membership
    }

    /// Who resumes later hears a message in its latest state.
    fn update(&mut self, message: &Arc<Message>) {
        for event in &mut self.events {
            let latest = match &event.what {
                What::Sent(old) if old.id == message.id => What::Sent(message.clone()),
                What::Edited(old) if old.id == message.id => What::Edited(message.clone()),
                _ => continue,
            };
            self.text_bytes -= text_bytes(event);
            self.text_bytes += message.text.len();
            *event = Arc::new(ChatEvent {
                what: latest,
                ..ChatEvent::clone(event)
            });
        }
    }
}

fn joins(event: &ChatEvent, member: UserId) -> bool {
    matches!(&event.what, What::MemberJoined { user, .. } if user.id == member)
}

fn text_bytes(event: &ChatEvent) -> usize {
    match &event.what {
        What::Sent(message) | What::Edited(message) | What::Deleted(message) => message.text.len(),
        _ => 0,
    }
}
