//! An event on its last steps: who hears it, as which frame, through which queue.
//!
//! A dialect encodes an event once per audience, not once per receiver.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use entity::{ChatId, Seq, UserId};

use super::{
    Close, Queue, SharedFrame,
    follow::{Report, Reports},
};
use crate::chat::{ChatEvent, ChatHead, ConnectionId, What};

/// Who of a chat hears an event: all that an encoding may depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Audience {
    /// The user whose doing it is, on any connection.
    pub is_sender: bool,
    /// The very connection that caused it. Never of another node.
    pub is_origin: bool,
    /// Staff in a support chat that isn't their own.
    pub is_operator: bool,
    /// rpc's Python literals instead of JSON.
    pub in_literals: bool,
}

/// The frame that tells an event to such an audience, or none. Pure: its bytes are shared by all of them.
pub type Encode = fn(&ChatHead, &ChatEvent, Audience) -> Option<SharedFrame>;

/// A dialect as the hub knows it.
#[derive(Clone, Copy, Debug)]
pub struct Voice {
    /// Its number in the table of dialects: encodings are kept by it, since function pointers don't compare.
    pub number: usize,
    /// How it tells events.
    pub encode: Encode,
    /// What ends with the membership, and with the chat.
    pub ends: Ends,
}

impl Voice {
    /// What a connection is told last of a chat that it loses, where it lives on.
    pub(super) fn farewell(&self, head: &ChatHead) -> Option<SharedFrame> {
        match self.ends {
            Ends::Connection => None,
            Ends::Seat(told) => told(head),
        }
    }
}

/// What a dialect's connection loses with a membership, or with the chat.
#[derive(Clone, Copy, Debug)]
pub enum Ends {
    /// All: the connection is the chat's own, and is closed (4003, 4010).
    Connection,
    /// Its seat, since it has others. It is told by this frame, where the dialect has one.
    Seat(fn(&ChatHead) -> Option<SharedFrame>),
}

/// A connection in a chat.
#[derive(Clone, Debug)]
pub struct Seat {
    /// Which.
    pub connection: ConnectionId,
    /// Whose.
    pub user: UserId,
    /// Staff in a support chat that isn't their own.
    pub is_operator: bool,
    /// rpc's Python literals instead of JSON.
    pub in_literals: bool,
    /// It is told who comes and goes.
    pub hears_presence: bool,
    /// Its dialect.
    pub voice: Voice,
    /// Where frames go.
    pub queue: Arc<Queue>,
    /// Where it is told what becomes of the seat, of a connection that follows all chats of its user.
    pub reports: Option<Reports>,
}

impl Seat {
    /// What this seat is to an event.
    pub fn audience(&self, event: &ChatEvent) -> Audience {
        Audience {
            is_sender: event.by == self.user,
            is_origin: event.origin == Some(self.connection),
            is_operator: self.is_operator,
            in_literals: self.in_literals,
        }
    }

    /// Why this seat ends with an event, where it does.
    pub(super) fn end(&self, event: &ChatEvent) -> Option<Close> {
        match &event.what {
            What::MemberLeft { user, .. } if user.id == self.user => Some(NOT_A_MEMBER),
            What::ChatDeleted(_) => Some(CHAT_DELETED),
            _ => None,
        }
    }

    /// Whether its user hides the chat from themselves with this event, and it is no socket of the chat's own.
    pub(super) fn hides(&self, event: &ChatEvent) -> bool {
        matches!(event.what, What::Hidden)
            && event.by == self.user
            && matches!(self.voice.ends, Ends::Seat(_))
    }

    /// Notes whose turn it is in a support chat, where an operator is shown a message.
    pub(super) fn shows(&self, event: &ChatEvent, head: &ChatHead) {
        let shown = (&self.reports, &event.what, event.seq);
        if let (Some(reports), What::Sent(_), Some(seq)) = shown
            && self.is_operator
        {
            let is_customers = head.customer == Some(event.by);
            reports.waiting.shows(head.id, seq, is_customers);
        }
    }

    /// Whether it is not told of an event: its client doesn't know such.
    pub(super) fn is_deaf_to(&self, event: &ChatEvent) -> bool {
        match &event.what {
            What::Typing { .. } | What::Read { .. } => {
                let hears = |reports: &Reports| reports.hears_passing.load(Relaxed);
                !self.reports.as_ref().is_none_or(hears)
            }
            _ => event.is_presence() && !self.hears_presence,
        }
    }

    /// The seat is given up: the connection goes with it, or lives on and is told.
    pub(super) fn give_up(&self, chat: ChatId, close: Close) {
        match self.voice.ends {
            Ends::Connection => self.queue.close(close),
            Ends::Seat(_) => self.report(|connection| Report::Ended(connection, chat)),
        }
    }

    /// Tells whoever keeps the connection's seats.
    pub(super) fn report(&self, report: impl FnOnce(ConnectionId) -> Report) {
        if let Some(reports) = &self.reports {
            reports.send(report(self.connection));
        }
    }
}

/// The user was removed, or left.
pub const NOT_A_MEMBER: Close = Close::new(4003, "Not a member of this chat");
/// The chat is gone for all.
pub const CHAT_DELETED: Close = Close::new(4010, "Chat deleted");

/// An event on its way to all seats, with the encodings that it has got so far.
#[derive(Debug)]
pub(super) struct Telling {
    head: Arc<ChatHead>,
    event: Arc<ChatEvent>,
    /// Whether it ends the seats of whom it concerns.
    ends: bool,
    known: Vec<Encoding>,
}

/// The chat's head from an event on, where that changes it.
pub(super) fn new_head(event: &ChatEvent) -> Option<Arc<ChatHead>> {
    match &event.what {
        What::ChatUpdated(head) | What::ChatDeleted(head) => Some(Arc::new(head.clone())),
        _ => None,
    }
}

/// What an event looks like to an audience of a dialect.
#[derive(Debug)]
struct Encoding {
    dialect: usize,
    audience: Audience,
    frame: Option<SharedFrame>,
}

impl Telling {
    /// Nobody has heard of it.
    pub(super) fn new(head: Arc<ChatHead>, event: Arc<ChatEvent>) -> Self {
        Telling {
            head,
            event,
            ends: true,
            known: Vec::new(),
        }
    }

    /// The same, which ends nothing up to a number: whoever it concerns was found to be a member there.
    pub(super) fn history_up_to(mut self, found_at: Seq) -> Self {
        self.ends = self.event.seq > Some(found_at);
        self
    }

    /// Why a seat ends with it, where it does.
    pub(super) fn end(&self, seat: &Seat) -> Option<Close> {
        seat.end(&self.event).filter(|_| self.ends)
    }

    /// What happened.
    pub(super) fn event(&self) -> &ChatEvent {
        &self.event
    }

    /// Where it happened.
    pub(super) fn head(&self) -> &ChatHead {
        &self.head
    }

    /// What a seat that ends with it is told last.
    pub(super) fn farewell(&self, seat: &Seat) -> Option<SharedFrame> {
        seat.voice.farewell(&self.head)
    }

    /// Which of its frames is for a seat, if any; encoded at the first that asks.
    pub(super) fn encoding(&mut self, seat: &Seat) -> Option<usize> {
        let (dialect, audience) = (seat.voice.number, seat.audience(&self.event));
        let known = self
            .known
            .iter()
            .position(|known| known.dialect == dialect && known.audience == audience);
        let place = known.unwrap_or_else(|| {
            let frame = (seat.voice.encode)(&self.head, &self.event, audience);
            self.known.push(Encoding {
                dialect,
                audience,
                frame: frame.map(|frame| frame.of(self.head.id)),
            });
            self.known.len() - 1
        });
        self.known[place].frame.as_ref().map(|_| place)
    }

    /// The frame of an encoding.
    pub(super) fn frame(&self, encoding: usize) -> Option<SharedFrame> {
        self.known.get(encoding)?.frame.clone()
    }
}
