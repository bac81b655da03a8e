//! The server's frames that are no events: greetings, answers, errors.

use std::{sync::Arc, time::Duration};

use entity::{ChatId, Seq, Time};
use serde::Serialize;

use super::Wrong;
use crate::{
    chat::{Actor, ChatError, Mark, Message, Presence},
    hub::{Replayed, SharedFrame},
    view::{EventView, MessageView, PageView, Timestamp},
};

/// The frames' types, as the documents list them.
pub(crate) const EVENTS: &[&str] = &[
    "connection_established",
    "message",
    "message_edited",
    "message_deleted",
    "reaction_added",
    "reaction_removed",
    "typing",
    "presence",
    "user_online",
    "user_offline",
    "messages_read",
    "messages",
    "synced",
    "member_joined",
    "member_left",
    "member_changed",
    "chat_updated",
    "chat_deleted",
    "authenticated",
    "pong",
    "error",
];

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Answer<'a> {
    ConnectionEstablished {
        message: &'static str,
        chat_id: i64,
        user_id: i64,
        username: &'a str,
        seq: i64,
        unread_count: u64,
    },
    Message {
        seq: i64,
        data: MessageView<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        client_id: Option<&'a str>,
        repeat: bool,
    },
    Messages {
        data: PageView<MessageView<'a>>,
    },
    MessagesRead {
        user_id: i64,
        username: &'a str,
        last_read_message_id: Option<i64>,
        last_read_seq: i64,
    },
    Synced {
        since: i64,
        seq: i64,
        has_more: bool,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        reset: bool,
    },
    Authenticated {
        expires_at: Timestamp,
    },
    Pong,
    Error {
        message: &'a str,
        code: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        client_id: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_after: Option<u64>,
    },
}

const TOO_MANY_REQUESTS: &str = "Too many requests";

/// The frames to a connection: where it has many chats, each names its chat.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::ws::dialect) struct Frames {
    pub(in crate::ws::dialect) chat: Option<ChatId>,
}

/// A frame of one chat to a connection that has many.
#[derive(Serialize)]
struct OfChat<'a, T> {
    #[serde(flatten)]
    frame: &'a T,
    chat_id: i64,
}

impl Frames {
    /// Of one chat among many.
    pub(in crate::ws::dialect) fn of(chat: ChatId) -> Self {
        Frames { chat: Some(chat) }
    }

    /// A frame as it is shown here.
    pub(in crate::ws::dialect) fn frame(self, frame: &impl Serialize) -> SharedFrame {
        match self.chat {
            None => SharedFrame::json(frame),
            Some(chat) => SharedFrame::json(&OfChat {
                frame,
                chat_id: chat.0,
            }),
        }
    }

    pub(in crate::ws::dialect) fn connection_established(
        chat: ChatId,
        actor: &Actor,
        seq: Seq,
        unread_count: u64,
    ) -> SharedFrame {
        SharedFrame::json(&Answer::ConnectionEstablished {
            message: "Successfully connected to chat",
            chat_id: chat.0,
            user_id: actor.id().0,
            username: &actor.user.username,
            seq: seq.0,
            unread_count,
        })
    }

    pub(in crate::ws::dialect) fn presence(self, presence: &Presence) -> SharedFrame {
        self.frame(&EventView::Presence(presence.into()))
    }

    pub(in crate::ws::dialect) fn repeat(self, message: &Message) -> SharedFrame {
        let client_id = message.client_id.as_deref();
        self.frame(&Answer::Message {
            seq: message.seq.0,
            data: message.into(),
            client_id,
            repeat: true,
        })
    }

    pub(in crate::ws::dialect) fn messages(
        self,
        count: Option<u64>,
        next: Option<String>,
        previous: Option<String>,
        results: &[Arc<Message>],
    ) -> SharedFrame {
        let results = results
            .iter()
            .map(|message| MessageView::from(message.as_ref()))
            .collect();
        self.frame(&Answer::Messages {
            data: PageView {
                count,
                next,
                previous,
                results,
            },
        })
    }

    pub(in crate::ws::dialect) fn messages_read(self, actor: &Actor, mark: &Mark) -> SharedFrame {
        self.frame(&Answer::MessagesRead {
            user_id: actor.id().0,
            username: &actor.user.username,
            last_read_message_id: mark.last_read_message.map(|id| id.0),
            last_read_seq: mark.last_read_seq.0,
        })
    }

    pub(in crate::ws::dialect) fn synced(self, replayed: &Replayed) -> SharedFrame {
        let Replayed {
            since,
            seq,
            has_more,
            reset,
        } = *replayed;
        self.frame(&Answer::Synced {
            since: since.0,
            seq: seq.0,
            has_more,
            reset,
        })
    }

    pub(in crate::ws::dialect) fn authenticated(self, expires_at: Time) -> SharedFrame {
        self.frame(&Answer::Authenticated {
            expires_at: Timestamp(expires_at),
        })
    }

    pub(in crate::ws::dialect) fn pong(self) -> SharedFrame {
        self.frame(&Answer::Pong)
    }

    pub(in crate::ws::dialect) fn error(
        self,
        message: &str,
        code: &str,
        client_id: Option<&str>,
        retry_after: Option<Duration>,
    ) -> SharedFrame {
        // Rounded up: who waits so long is let through.
        let retry_after = retry_after.map(|wait| wait.as_millis().div_ceil(1000).max(1) as u64);
        self.frame(&Answer::Error {
            message,
            code,
            client_id,
            retry_after,
        })
    }

    pub(in crate::ws::dialect) fn wrong(self, wrong: &Wrong) -> SharedFrame {
        self.error(&wrong.text, wrong.code, wrong.client_id.as_deref(), None)
    }

    /// Over the pace of frames, which is a second's.
    pub(in crate::ws::dialect) fn too_many_requests(self, client_id: Option<&str>) -> SharedFrame {
        self.error(
            TOO_MANY_REQUESTS,
            "rate_limited",
            client_id,
            Some(Duration::from_secs(1)),
        )
    }

    pub(in crate::ws::dialect) fn too_many_requests_for(
        self,
        retry_after: Duration,
    ) -> SharedFrame {
        self.error(TOO_MANY_REQUESTS, "rate_limited", None, Some(retry_after))
    }

    /// An error of the domain in this dialect's words.
    pub(in crate::ws::dialect) fn failed(
        self,
        failed: &ChatError,
        client_id: Option<&str>,
    ) -> SharedFrame {
        let (code, text, retry_after) = match failed {
            ChatError::NotFound(thing) => ("not_found", format!("No such {thing}"), None),
            ChatError::Forbidden(reason) => ("forbidden", format!("Not allowed: {reason}"), None),
            ChatError::EmptyText => (
                "empty_text",
                "Message text cannot be empty".to_owned(),
                None,
            ),
            ChatError::TextTooLong { max, .. } => (
                "text_too_long",
                format!("Message text cannot be longer than {max} characters"),
                None,
            ),
            ChatError::NullCharacter => (
                "invalid",
                "Null characters are not allowed.".to_owned(),
                None,
            ),
            ChatError::Invalid { reason, .. } => ("invalid", reason.clone(), None),
            ChatError::TooManyMessages {
                per_minute,
                retry_after,
            } => (
                "rate_limited",
                format!("Too many messages: at most {per_minute} per minute"),
                Some(*retry_after),
            ),
            ChatError::TooManyRequests { retry_after } => (
                "rate_limited",
                TOO_MANY_REQUESTS.to_owned(),
                Some(*retry_after),
            ),
            ChatError::Unavailable => (
                "unavailable",
                "Service temporarily unavailable".to_owned(),
                None,
            ),
            ChatError::Store(cause) if cause.is_away() => (
                "unavailable",
                "Service temporarily unavailable".to_owned(),
                None,
            ),
            ChatError::Store(_) => ("internal", "Internal server error".to_owned(), None),
        };
        self.error(&text, code, client_id, retry_after)
    }
}
