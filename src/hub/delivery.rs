//! An event on its last steps: who hears it, as which frame, through which queue.
//!
//! A dialect encodes an event once per audience, not once per receiver.

use std::sync::Arc;

use entity::UserId;

use super::{Close, Queue, SharedFrame};
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
    /// Its sockets are the chat's own: they end with the membership (4003) and with the chat (4010).
    pub ends_with_chat: bool,
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

    /// How this connection ends with an event, where it does.
    pub(super) fn end(&self, event: &ChatEvent) -> Option<Close> {
        match &event.what {
            What::MemberLeft { user, .. } if self.voice.ends_with_chat && user.id == self.user => {
                Some(NOT_A_MEMBER)
            }
            What::ChatDeleted(_) if self.voice.ends_with_chat => Some(CHAT_DELETED),
            _ => None,
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
    known: Vec<Encoding>,
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
            known: Vec::new(),
        }
    }

    /// What happened.
    pub(super) fn event(&self) -> &ChatEvent {
        &self.event
    }

    /// The frame for a seat; encoded at the first that asks.
    pub(super) fn frame(&mut self, seat: &Seat) -> Option<SharedFrame> {
        let (dialect, audience) = (seat.voice.number, seat.audience(&self.event));
        let known = self
            .known
            .iter()
            .find(|known| known.dialect == dialect && known.audience == audience);
        if let Some(known) = known {
            return known.frame.clone();
        }
        let frame = (seat.voice.encode)(&self.head, &self.event, audience);
        self.known.push(Encoding {
            dialect,
            audience,
            frame: frame.clone(),
        });
        frame
    }
}
