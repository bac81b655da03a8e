//! The server's frames.

use entity::{Seq, UserId};
use serde::{Serialize, Serializer};

use crate::{
    chat::{ChatError, ChatEvent, ChatHead, Message, Presence, Profile, What},
    hub::{Audience, SharedFrame},
    view::Timestamp,
};

/// The frames' types, as the documents list them; an error has none.
pub(crate) const EVENTS: &[&str] = &[
    "chat_message",
    "message_edited",
    "message_deleted",
    "user_join",
    "user_leave",
    "room_users_list",
    "presence",
    "typing_indicator",
    "error",
];

/// No text, or one of which nothing is left after trimming.
pub(super) const NO_MESSAGE: &str = "Message content is missing";
const TOO_MANY_REQUESTS: &str = "Too many requests";

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Outgoing<'a> {
    ChatMessage {
        message: &'a str,
        sender_username: &'a str,
        sender_id: Id,
        timestamp: Timestamp,
        message_id: i64,
        seq: i64,
        edited_at: Option<Timestamp>,
        is_deleted: bool,
    },
    MessageEdited {
        message_id: i64,
        new_content: &'a str,
        edited_at: Option<Timestamp>,
        sender_id: Id,
        sender_username: &'a str,
        seq: i64,
    },
    MessageDeleted {
        message_id: i64,
        seq: i64,
    },
    UserJoin(Somebody<'a>),
    UserLeave(Somebody<'a>),
    RoomUsersList {
        users: Vec<Listed<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        count: Option<usize>,
    },
    Presence {
        count: usize,
    },
    TypingIndicator {
        user: &'a str,
        user_id: Id,
        room: Option<&'a str>,
        is_typing: bool,
    },
}

/// A user's id: this dialect writes it as a string.
#[derive(Clone, Copy)]
struct Id(UserId);

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

#[derive(Serialize)]
struct Somebody<'a> {
    user_id: Id,
    username: &'a str,
}

#[derive(Serialize)]
struct Listed<'a> {
    id: Id,
    username: &'a str,
}

impl<'a> From<&'a Profile> for Somebody<'a> {
    fn from(user: &'a Profile) -> Self {
        Self {
            user_id: Id(user.id),
            username: &user.username,
        }
    }
}

/// The frame that tells `event` to such an audience. Its bytes are shared by all of them.
pub(in crate::ws::dialect) fn encode(
    head: &ChatHead,
    event: &ChatEvent,
    audience: Audience,
) -> Option<SharedFrame> {
    // Durable events always have a number; the others' arms don't ask for it.
    let seq = event.seq.unwrap_or_default();
    let frame = match &event.what {
        What::Sent(message) => chat_message(seq, message),
        What::Edited(message) => SharedFrame::json(&Outgoing::MessageEdited {
            message_id: message.id.0,
            new_content: &message.text,
            edited_at: message.edited_at.map(Timestamp),
            sender_id: Id(message.sender.id),
            sender_username: &message.sender.username,
            seq: seq.0,
        }),
        What::Deleted(message) => SharedFrame::json(&Outgoing::MessageDeleted {
            message_id: message.id.0,
            seq: seq.0,
        }),
        What::Typing { .. } if audience.is_sender => return None,
        What::Typing { user, is_typing } => SharedFrame::json(&Outgoing::TypingIndicator {
            user: &user.username,
            user_id: Id(user.id),
            room: head.name.as_deref(),
            is_typing: *is_typing,
        }),
        What::Entered(user) => user_join(user),
        What::Left { user, .. } => SharedFrame::json(&Outgoing::UserLeave(user.as_ref().into())),
        What::Presence(presence) => users_list(presence),
        What::ReactionAdded { .. }
        | What::ReactionRemoved { .. }
        | What::MemberJoined { .. }
        | What::MemberLeft { .. }
        | What::MemberChanged { .. }
        | What::ChatUpdated(_)
        | What::ChatDeleted(_)
        | What::Read { .. }
        | What::Opened { .. }
        | What::Passed(_)
        | What::Hidden => return None,
    };
    Some(if event.is_ephemeral() {
        frame.ephemeral()
    } else {
        frame
    })
}

pub(super) fn chat_message(seq: Seq, message: &Message) -> SharedFrame {
    SharedFrame::json(&Outgoing::ChatMessage {
        message: &message.text,
        sender_username: &message.sender.username,
        sender_id: Id(message.sender.id),
        timestamp: Timestamp(message.timestamp),
        message_id: message.id.0,
        seq: seq.0,
        edited_at: message.edited_at.map(Timestamp),
        is_deleted: message.is_deleted,
    })
}

pub(super) fn user_join(user: &Profile) -> SharedFrame {
    SharedFrame::json(&Outgoing::UserJoin(user.into()))
}

pub(super) fn users_list(presence: &Presence) -> SharedFrame {
    let Some(users) = &presence.users else {
        let count = presence.count;
        return SharedFrame::json(&Outgoing::Presence { count });
    };
    let users = users.iter().map(|user| Listed {
        id: Id(user.id),
        username: &user.username,
    });
    SharedFrame::json(&Outgoing::RoomUsersList {
        users: users.collect(),
        count: presence.count_where_cut(),
    })
}

pub(super) fn error(text: &str) -> SharedFrame {
    SharedFrame::json(&Failure { error: text })
}

pub(super) fn too_many_requests() -> SharedFrame {
    error(TOO_MANY_REQUESTS)
}

#[derive(Serialize)]
struct Failure<'a> {
    error: &'a str,
}

/// An error of the domain in this dialect's words.
pub(super) fn failed(failed: &ChatError) -> SharedFrame {
    match failed {
        ChatError::EmptyText => error(NO_MESSAGE),
        ChatError::TextTooLong { max, .. } => error(&format!(
            "Message text cannot be longer than {max} characters"
        )),
        ChatError::NullCharacter => error("Null characters are not allowed."),
        ChatError::TooManyMessages { per_minute, .. } => error(&format!(
            "Too many messages: at most {per_minute} per minute"
        )),
        ChatError::TooManyRequests { .. } => too_many_requests(),
        ChatError::NotFound(thing) => error(&format!("No such {thing}")),
        ChatError::Forbidden(reason) => error(&format!("Not allowed: {reason}")),
        ChatError::Invalid { reason, .. } => error(reason),
        ChatError::Unavailable => error("Service temporarily unavailable"),
        ChatError::Store(cause) if cause.is_away() => error("Service temporarily unavailable"),
        ChatError::Store(_) => error("Internal server error"),
    }
}
