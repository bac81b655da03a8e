//! The server's frames about the list of chats.

use entity::ChatId;
use serde::Serialize;

use crate::{
    chat::{Actor, ChatListed, Followed},
    hub::SharedFrame,
    view::{ChatKindView, ChatView},
};

/// The frames' types, as the documents list them: the chat dialect's and those about the list.
pub(in crate::ws::dialect) const EVENTS: &[&str] = &[
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
    "chat_added",
    "chat_removed",
    "unread",
];

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[expect(
    clippy::large_enum_variant,
    reason = "each lives for one serialisation, on the stack"
)]
enum Frame<'a> {
    ConnectionEstablished {
        message: &'static str,
        user_id: i64,
        username: &'a str,
        chats: Vec<Item>,
    },
    ChatAdded {
        chat_id: i64,
        data: ChatView<'a>,
    },
    ChatRemoved {
        chat_id: i64,
    },
    Unread {
        chat_id: i64,
        unread_count: u64,
    },
}

/// A chat that is heard, and from which number on.
#[derive(Serialize)]
struct Item {
    id: i64,
    seq: i64,
    unread_count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<ChatKindView>,
}

pub(super) fn connection_established<'a>(
    actor: &Actor,
    chats: impl Iterator<Item = &'a Followed>,
    shows_kinds: bool,
) -> SharedFrame {
    let item = |followed: &Followed| {
        let entered = &followed.entered;
        Item {
            id: entered.head.id.0,
            seq: entered.last_seq.0,
            unread_count: entered.unread_count,
            kind: shows_kinds.then_some(ChatKindView(entered.head.kind)),
        }
    };
    SharedFrame::json(&Frame::ConnectionEstablished {
        message: "Successfully connected to chats",
        user_id: actor.id().0,
        username: &actor.user.username,
        chats: chats.map(item).collect(),
    })
}

pub(super) fn chat_added(chat: &ChatListed) -> SharedFrame {
    SharedFrame::json(&Frame::ChatAdded {
        chat_id: chat.head.id.0,
        data: chat.into(),
    })
}

pub(super) fn chat_removed(chat: ChatId) -> SharedFrame {
    SharedFrame::json(&Frame::ChatRemoved { chat_id: chat.0 })
}

pub(super) fn unread(chat: ChatId, unread_count: u64) -> SharedFrame {
    SharedFrame::json(&Frame::Unread {
        chat_id: chat.0,
        unread_count,
    })
}
