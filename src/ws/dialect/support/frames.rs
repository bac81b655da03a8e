//! The server's frames: answers, and pushes, whose id is null.

use std::sync::Arc;

use entity::{MessageId, UserId};
use serde::Serialize;
use serde_json::Value;

use crate::{
    chat::{ChatError, Message, Profile, SupportListed, Thing},
    hub::SharedFrame,
};

/// What the server tells, as the documents list it: by the keys of its results.
pub(in crate::ws::dialect) const EVENTS: &[&str] =
    &["messages", "message", "chats", "read", "typing", "error"];

/// What a request is answered with instead of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    Argument,
    NotAllowed,
    NoRecipient,
    UnknownMethod,
    Json,
    TooMany,
    TooLong,
    Internal,
}

impl Failure {
    fn told(self) -> Told {
        let (code, message) = match self {
            Failure::Argument => (1, "Incorrect argument."),
            Failure::NotAllowed => (2, "Not allowed."),
            Failure::NoRecipient => (3, "No recipient."),
            Failure::UnknownMethod => (4, "Unknown method."),
            Failure::Json => (5, "Invalid JSON."),
            Failure::TooMany => (6, "Too many messages."),
            Failure::TooLong => (7, "Message too long."),
            Failure::Internal => (500, "Internal error."),
        };
        Told { code, message }
    }
}

/// An error of the domain in this dialect's words.
impl From<&ChatError> for Failure {
    fn from(error: &ChatError) -> Self {
        match error {
            ChatError::NotFound(Thing::Message | Thing::Attachment) => Failure::Argument,
            ChatError::NotFound(Thing::Chat | Thing::Member | Thing::User | Thing::Session) => {
                Failure::NoRecipient
            }
            ChatError::Forbidden(_) => Failure::NotAllowed,
            ChatError::EmptyText | ChatError::NullCharacter | ChatError::Invalid { .. } => {
                Failure::Argument
            }
            ChatError::TextTooLong { .. } => Failure::TooLong,
            ChatError::TooManyMessages { .. } | ChatError::TooManyRequests { .. } => {
                Failure::TooMany
            }
            ChatError::Unavailable | ChatError::Store(_) => Failure::Internal,
        }
    }
}

#[derive(Serialize)]
struct Told {
    code: u16,
    message: &'static str,
}

/// Both keys are always there, one of them null.
#[derive(Serialize)]
struct Frame<'a> {
    error: Option<Told>,
    result: Option<Shown<'a>>,
    id: &'a Value,
}

/// What a request came to, or what is pushed.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Shown<'a> {
    /// Null where there are none.
    Messages {
        messages: Option<Vec<MessageView<'a>>>,
    },
    Message {
        message: MessageView<'a>,
    },
    Chats {
        chats: Vec<ChatView<'a>>,
    },
    Read {
        read: Option<i64>,
        user_id: i64,
    },
    Typing {
        typing: bool,
        user_id: i64,
    },
}

impl<'a> Shown<'a> {
    /// The newest message that is read in a customer's chat.
    pub(super) fn read(message: Option<MessageId>, customer: UserId) -> Self {
        Shown::Read {
            read: message.map(|id| id.0),
            user_id: customer.0,
        }
    }

    /// Whether somebody types in a customer's chat.
    pub(super) fn typing(is_typing: bool, customer: UserId) -> Self {
        Shown::Typing {
            typing: is_typing,
            user_id: customer.0,
        }
    }

    /// A page of messages with their customers, oldest first.
    pub(super) fn messages(messages: impl Iterator<Item = (&'a Message, Customer<'a>)>) -> Self {
        let messages: Vec<_> = messages
            .map(|(message, customer)| MessageView::of(message, customer))
            .collect();
        Shown::Messages {
            messages: (!messages.is_empty()).then_some(messages),
        }
    }

    pub(super) fn chats(chats: &'a [SupportListed]) -> Self {
        Shown::Chats {
            chats: chats.iter().map(ChatView::from).collect(),
        }
    }
}

/// Whose chat a message was said in.
#[derive(Clone, Copy)]
pub(super) struct Customer<'a> {
    pub(super) id: UserId,
    pub(super) name: &'a str,
}

impl<'a> From<&'a Arc<Profile>> for Customer<'a> {
    fn from(profile: &'a Arc<Profile>) -> Self {
        Customer {
            id: profile.id,
            name: &profile.username,
        }
    }
}

#[derive(Serialize)]
pub(super) struct MessageView<'a> {
    message_id: i64,
    message_text: &'a str,
    /// Empty for the customer's own.
    invader_name: String,
    is_from_support: bool,
    created: i64,
    user_id: i64,
    user_name: &'a str,
}

impl<'a> MessageView<'a> {
    pub(super) fn of(message: &'a Message, customer: Customer<'a>) -> Self {
        let sender = &message.sender;
        let is_from_support = sender.id != customer.id;
        MessageView {
            message_id: message.id.0,
            message_text: &message.text,
            invader_name: match is_from_support {
                true => display_name(sender),
                false => String::new(),
            },
            is_from_support,
            created: message.timestamp.timestamp(),
            user_id: customer.id.0,
            // As it is now, where they said it themselves.
            user_name: match is_from_support {
                true => customer.name,
                false => &sender.username,
            },
        }
    }
}

#[derive(Serialize)]
pub(super) struct ChatView<'a> {
    user_id: i64,
    user_name: &'a str,
    unread: u64,
    /// Unix seconds; null where the last word was an operator's.
    waiting_since: Option<i64>,
    last_message: Option<MessageView<'a>>,
}

impl<'a> From<&'a SupportListed> for ChatView<'a> {
    fn from(listed: &'a SupportListed) -> Self {
        let customer = Customer::from(&listed.customer);
        let last = listed.chat.last_message.as_deref();
        ChatView {
            user_id: customer.id.0,
            user_name: customer.name,
            unread: listed.chat.unread_count,
            waiting_since: listed.waiting_since.map(|since| since.timestamp()),
            last_message: last
                .filter(|message| !message.is_deleted)
                .map(|message| MessageView::of(message, customer)),
        }
    }
}

/// First and last name, else the user name.
fn display_name(profile: &Profile) -> String {
    let name = format!("{} {}", profile.first_name, profile.last_name);
    match name.trim() {
        "" => profile.username.clone(),
        name => name.to_owned(),
    }
}

pub(super) fn answer(id: &Value, shown: Shown<'_>) -> SharedFrame {
    SharedFrame::json(&Frame {
        error: None,
        result: Some(shown),
        id,
    })
}

pub(super) fn failed(id: &Value, failure: Failure) -> SharedFrame {
    SharedFrame::json(&Frame {
        error: Some(failure.told()),
        result: None,
        id,
    })
}

pub(super) fn push(shown: Shown<'_>) -> SharedFrame {
    answer(&Value::Null, shown)
}
