//! The server's frames: answers, each in the encoding of its request, and the push of a new message.

use std::{fmt, time::Duration};

use chrono::Utc;
use entity::{ChatKind, ContentType, Time, UserId};
use serde::{Serialize, Serializer};
use tracing::error;

use super::{literal::to_literal, method::Encoding};
use crate::{
    chat::{AuthError, ChatError, ChatListed, Message, SignInError, Thing},
    hub::SharedFrame,
};

/// The answers, as the documents list them: one to each method, one to what can't be read; and the push.
pub(in super::super) const EVENTS: &[&str] = &[
    "checkConnection",
    "checkToken",
    "auth",
    "register",
    "logout",
    "createPersonalChat",
    "createChat",
    "getChats",
    "getMessages",
    "sendMessage",
    "deleteChat",
    "createGroup",
    "sendGroupMessage",
    "editGroup",
    "deleteGroup",
    "editMessage",
    "deleteMessage",
    "readMessages",
    "subscribe",
    "recovery",
    "recoveryConfirm",
    "changeUsername",
    "changeEmail",
    "setPhoto",
    "unreadable",
    "newMessage",
];

/// `YYYY-MM-DD HH:MM:SS`, UTC.
#[derive(Clone, Copy, Debug)]
struct Stamp(Time);

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.format("%Y-%m-%d %H:%M:%S"))
    }
}

impl Serialize for Stamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What an answer tells besides its status. A failed one has the same keys, with None.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Data {
    Nothing {},
    /// It has been told already.
    #[serde(skip)]
    Told,
    Token {
        token: Option<String>,
    },
    Chat {
        chat_id: Option<i64>,
    },
    Chats {
        chats: Option<Vec<ChatRow>>,
    },
    /// Twice the same: existing clients read it under `chats`.
    Messages {
        messages: Option<Vec<MessageRow>>,
        chats: Option<Vec<MessageRow>>,
    },
    Message {
        message_id: Option<i64>,
    },
}

/// A chat in `getChats`.
#[derive(Debug, Serialize)]
pub(super) struct ChatRow {
    chat_id: i64,
    chat_members: Members,
    chat_name: String,
    chat_type: &'static str,
    last_message_time: Option<Stamp>,
    last_message_text: Option<String>,
    last_message_sender: Option<String>,
}

/// The other one's id, or all ids joined by commas.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Members {
    Other(Option<i64>),
    All(String),
}

/// A message in `getMessages` and in a push.
#[derive(Clone, Debug, Serialize)]
pub(super) struct MessageRow {
    message_id: i64,
    from_id: i64,
    from_name: String,
    content: String,
    content_type: ContentType,
    content_time: Stamp,
}

/// Why a request wasn't done.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) status: &'static str,
    pub(super) error_msg: Option<String>,
    pub(super) retry_after: Option<Duration>,
}

#[derive(Serialize)]
struct Answer<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<&'a str>,
    timestamp: Stamp,
    status: &'static str,
    #[serde(flatten)]
    data: &'a Data,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_msg: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
}

#[derive(Serialize)]
struct Push<'a> {
    mode: &'static str,
    timestamp: Stamp,
    chat_id: i64,
    message: &'a MessageRow,
}

/// The answer to a request of this mode.
pub(super) fn answer(
    encoding: Encoding,
    mode: Option<&str>,
    outcome: &Result<Data, Failure>,
) -> SharedFrame {
    let (status, failure) = match outcome {
        Ok(_) => ("200", None),
        Err(failure) => (failure.status, Some(failure)),
    };
    let nothing = mode.map_or(Data::Nothing {}, |mode| nothing_of(mode, status));
    frame(
        encoding,
        &Answer {
            mode,
            timestamp: Stamp(Utc::now()),
            status,
            data: outcome.as_ref().unwrap_or(&nothing),
            error_msg: failure.and_then(|failure| failure.error_msg.as_deref()),
            retry_after: failure
                .and_then(|failure| failure.retry_after)
                // Rounded up: who waits so long is let through.
                .map(|wait| wait.as_millis().div_ceil(1000).max(1) as u64),
        },
    )
}

/// A new message, for whoever has subscribed.
pub(super) fn push(encoding: Encoding, message: &Message) -> SharedFrame {
    frame(
        encoding,
        &Push {
            mode: "newMessage",
            timestamp: Stamp(message.timestamp),
            chat_id: message.chat.0,
            message: &MessageRow::of(message),
        },
    )
}

fn frame(encoding: Encoding, value: &impl Serialize) -> SharedFrame {
    match encoding {
        Encoding::Json => SharedFrame::json(value),
        Encoding::Literal => SharedFrame::text(&to_literal(value).unwrap_or_else(|cause| {
            error!("an answer could not be written as a literal: {cause}");
            String::new()
        })),
    }
}

/// What a method tells where it fails.
fn nothing_of(mode: &str, status: &str) -> Data {
    match mode {
        "auth" | "register" => Data::Token { token: None },
        "createPersonalChat" | "createChat" | "createGroup" => Data::Chat { chat_id: None },
        "getChats" => Data::Chats { chats: None },
        "getMessages" => {
            let none = (status == NOT_A_MEMBER).then(Vec::new);
            Data::Messages {
                messages: none.clone(),
                chats: none,
            }
        }
        "sendMessage" | "sendGroupMessage" => Data::Message { message_id: None },
        _ => Data::Nothing {},
    }
}

impl Data {
    pub(super) fn messages(messages: &[std::sync::Arc<Message>]) -> Data {
        let rows: Vec<MessageRow> = messages.iter().map(|it| MessageRow::of(it)).collect();
        Data::Messages {
            messages: Some(rows.clone()),
            chats: Some(rows),
        }
    }
}

impl MessageRow {
    fn of(message: &Message) -> Self {
        Self {
            message_id: message.id.0,
            from_id: message.sender.id.0,
            from_name: message.sender.username.clone(),
            content: message.text.clone(),
            content_type: message.content_type,
            content_time: Stamp(message.timestamp),
        }
    }
}

impl ChatRow {
    /// A chat as `reader` sees it; `members` are the ids of those who belong to it, as far as they are listed.
    pub(super) fn of(chat: &ChatListed, reader: UserId, members: &[UserId]) -> Self {
        let is_personal = chat.head.kind == ChatKind::Personal;
        let profiles = chat.members.as_deref().unwrap_or_default();
        let other = profiles.iter().find(|member| member.id != reader);
        let last = chat.last_message.as_ref();
        Self {
            chat_id: chat.head.id.0,
            chat_members: match is_personal {
                true => Members::Other(other.map(|other| other.id.0)),
                false => {
                    let ids: Vec<String> = members.iter().map(UserId::to_string).collect();
                    Members::All(ids.join(","))
                }
            },
            chat_name: match chat.head.kind {
                ChatKind::Personal => other.map_or_else(String::new, |it| it.username.clone()),
                ChatKind::Support => "support".to_owned(),
                ChatKind::Group | ChatKind::Room => chat.head.name.clone().unwrap_or_default(),
            },
            chat_type: if is_personal { "personal" } else { "group" },
            last_message_time: last.map(|message| Stamp(message.timestamp)),
            last_message_text: last.map(|message| message.text.clone()),
            last_message_sender: last.map(|message| message.sender.username.clone()),
        }
    }
}

/// A chat that isn't the caller's, or a right in it that they don't have.
const NOT_A_MEMBER: &str = "423";
/// A fault of ours, or the database is away: no violation of the client's.
const FAULT: &str = "500";

impl Failure {
    fn plain(status: &'static str) -> Self {
        Self {
            status,
            error_msg: None,
            retry_after: None,
        }
    }

    fn told(status: &'static str, error_msg: impl Into<String>) -> Self {
        Self {
            error_msg: Some(error_msg.into()),
            ..Self::plain(status)
        }
    }

    /// Text that is neither JSON nor a literal, or no object.
    pub(super) fn unsupported() -> Self {
        Self::told("422", "Unsupported data")
    }

    pub(super) fn missing(fields: &[&str]) -> Self {
        let fields = fields.join(", ");
        Self::told("422", format!("field(s) {fields} not provided"))
    }

    pub(super) fn bad(why: String) -> Self {
        Self::told("422", why)
    }

    pub(super) fn unknown_mode() -> Self {
        Self::plain("501")
    }

    /// Nobody has signed in, or not any more.
    pub(super) fn signed_out() -> Self {
        Self::plain("401")
    }

    /// Nobody to talk to: oneself, or no such user.
    pub(super) fn no_contact() -> Self {
        Self::told("409", "no such user")
    }

    pub(super) fn too_fast(retry_after: Duration) -> Self {
        Self {
            retry_after: Some(retry_after),
            ..Self::told("429", "Too many requests")
        }
    }

    pub(super) fn is_ours(&self) -> bool {
        self.status == FAULT
    }

    /// Why an account wasn't made or changed: the first reason.
    pub(super) fn of_account(faults: Vec<ChatError>) -> Self {
        let Some(first) = faults.first() else {
            return Self::plain(FAULT);
        };
        if let Some(taken) = faults.iter().find(|fault| fault.is_taken()) {
            return Self::told("409", reason(taken));
        }
        match first {
            // Registration is for staff or nobody.
            ChatError::Forbidden(_) => Self::unknown_mode(),
            other => Self::from(other),
        }
    }
}

fn reason(error: &ChatError) -> String {
    match error {
        ChatError::Invalid { reason, .. } => reason.clone(),
        other => other.to_string(),
    }
}

impl From<&ChatError> for Failure {
    fn from(error: &ChatError) -> Self {
        match error {
            ChatError::NotFound(Thing::Chat) => Self::plain(NOT_A_MEMBER),
            ChatError::NotFound(Thing::User | Thing::Member) => Self::no_contact(),
            ChatError::NotFound(Thing::Message | Thing::Session | Thing::Attachment) => {
                Self::told("422", error.to_string())
            }
            ChatError::Forbidden(why) => Self::told(NOT_A_MEMBER, *why),
            ChatError::EmptyText | ChatError::TextTooLong { .. } | ChatError::NullCharacter => {
                Self::told("422", error.to_string())
            }
            // Whom one wants to talk to.
            ChatError::Invalid {
                field: "members" | "user_id",
                reason,
            } => Self::told("409", reason.clone()),
            ChatError::Invalid { reason, .. } => Self::told("422", reason.clone()),
            ChatError::TooManyMessages { retry_after, .. } => Self {
                retry_after: Some(*retry_after),
                ..Self::told("429", "Too many messages")
            },
            ChatError::TooManyRequests { retry_after } => Self::too_fast(*retry_after),
            ChatError::Unavailable => Self::plain(FAULT),
            ChatError::Store(cause) => {
                if !cause.is_away() {
                    error!("a request failed in storage: {cause}");
                }
                Self::plain(FAULT)
            }
        }
    }
}

impl From<ChatError> for Failure {
    fn from(error: ChatError) -> Self {
        Self::from(&error)
    }
}

impl From<AuthError> for Failure {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Unavailable => Self::plain(FAULT),
            AuthError::Missing
            | AuthError::Invalid
            | AuthError::Expired
            | AuthError::WrongType
            | AuthError::MissingClaim(_)
            | AuthError::NoUserId
            | AuthError::Blacklisted
            | AuthError::UserNotFound
            | AuthError::UserInactive
            | AuthError::PasswordChanged => Self::signed_out(),
        }
    }
}

impl From<SignInError> for Failure {
    fn from(error: SignInError) -> Self {
        match error {
            SignInError::NoAccount => Self::signed_out(),
            SignInError::Throttled { retry_after } => Self::too_fast(retry_after),
            SignInError::TooManySessions => Self::plain("403"),
            SignInError::Busy => Self::plain(FAULT),
            SignInError::Chat(error) => error.into(),
        }
    }
}
