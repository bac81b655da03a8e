//! What happened in a chat, as the chat dialect tells it; REST's events and the bridge tell it alike.

use std::sync::Arc;

use entity::Role;
use serde::{Serialize, Serializer};

use crate::{
    chat::{ChatEvent, Presence, Profile, What},
    view::{ChatHeadView, MessageView, ProfileView, Timestamp},
};

/// An event's frame. `seq` is the event's own number: clients keep it for `since`.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum EventView<'a> {
    /// Somebody said something.
    Message {
        /// Equal to `data.seq`.
        seq: i64,
        /// The message.
        data: MessageView<'a>,
        /// On the sender's own connections only.
        #[serde(skip_serializing_if = "Option::is_none")]
        client_id: Option<&'a str>,
    },
    /// A message's text was changed.
    MessageEdited {
        /// The change's own number.
        seq: i64,
        /// Which.
        message_id: i64,
        /// In its latest state.
        data: MessageView<'a>,
    },
    /// A message was deleted.
    MessageDeleted {
        /// The change's own number.
        seq: i64,
        /// Which.
        message_id: i64,
        /// In its latest state.
        data: MessageView<'a>,
    },
    /// Somebody reacted.
    ReactionAdded(ReactionView<'a>),
    /// Somebody took a reaction back.
    ReactionRemoved(ReactionView<'a>),
    /// Somebody became a member.
    MemberJoined(MembershipView<'a>),
    /// Somebody left or was removed.
    MemberLeft(MembershipView<'a>),
    /// Somebody's role changed.
    MemberChanged(MembershipView<'a>),
    /// The chat's name or privacy changed.
    ChatUpdated {
        /// The change's own number.
        seq: i64,
        /// What is the same for every member.
        data: ChatHeadView<'a>,
    },
    /// The chat was deleted for all.
    ChatDeleted {
        /// The change's own number.
        seq: i64,
        /// What it was.
        data: ChatHeadView<'a>,
    },
    /// Somebody types, or stopped.
    Typing {
        /// Who.
        user_id: i64,
        /// Who.
        username: &'a str,
        /// Whether.
        is_typing: bool,
    },
    /// Who is in the chat.
    Presence(PresenceView<'a>),
    /// Somebody came into the chat.
    UserOnline(ComingView<'a>),
    /// Somebody isn't in the chat any more.
    UserOffline(ComingView<'a>),
    /// How far somebody has read.
    MessagesRead {
        /// Who.
        user_id: i64,
        /// Who.
        username: &'a str,
        /// The newest message at or before `last_read_seq`, where there is one.
        last_read_message_id: Option<i64>,
        /// Never goes back.
        last_read_seq: i64,
    },
    /// Whatever a Django project wants to be told, as it is.
    #[serde(untagged)]
    Passed(&'a serde_json::Map<String, serde_json::Value>),
}

/// A reaction that was put or taken back.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ReactionView<'a> {
    /// The change's own number.
    pub seq: i64,
    /// Which message.
    pub message_id: i64,
    /// Who.
    pub user_id: i64,
    /// Who.
    pub username: &'a str,
    /// Which.
    pub emoji: &'a str,
}

/// A member who came, went or changed.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct MembershipView<'a> {
    /// The change's own number.
    pub seq: i64,
    /// Who.
    pub user: ProfileView<'a>,
    /// `banned` where removed by another.
    pub role: Role,
    /// The id of who did it.
    pub by: i64,
}

/// Who is in a chat.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct PresenceView<'a> {
    /// As many as lists name; not where only the number is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub users: Option<NamesView<'a>>,
    /// How many there are, where not all of them are named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<usize>,
}

impl<'a> From<&'a Presence> for PresenceView<'a> {
    fn from(presence: &'a Presence) -> Self {
        Self {
            users: presence.users.as_deref().map(NamesView),
            count: presence.count_where_cut(),
        }
    }
}

/// Users by id and name.
#[derive(Clone, Copy, Debug)]
pub struct NamesView<'a>(pub &'a [Arc<Profile>]);

#[derive(Serialize)]
struct NameView<'a> {
    id: i64,
    username: &'a str,
}

impl Serialize for NamesView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|user| NameView {
            id: user.id.0,
            username: &user.username,
        }))
    }
}

/// A user who came into a chat, or isn't there any more.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ComingView<'a> {
    /// Who.
    pub user_id: i64,
    /// Who.
    pub username: &'a str,
    /// When they went; null while they are there.
    pub last_seen: Option<Timestamp>,
}

impl<'a> EventView<'a> {
    /// As everybody but the sender sees it: without the sender's own key. None for what is no event of the chat to its
    /// members.
    pub fn of(event: &'a ChatEvent) -> Option<Self> {
        let by = event.by.0;
        // Durable events always have a number; the others' arms don't ask for it.
        let seq = event.seq.map_or(0, |seq| seq.0);
        let membership = |user, role| MembershipView {
            seq,
            user,
            role,
            by,
        };
        Some(match &event.what {
            What::Sent(message) => Self::Message {
                seq,
                data: message.as_ref().into(),
                client_id: None,
            },
            What::Edited(message) => Self::MessageEdited {
                seq,
                message_id: message.id.0,
                data: message.as_ref().into(),
            },
            What::Deleted(message) => Self::MessageDeleted {
                seq,
                message_id: message.id.0,
                data: message.as_ref().into(),
            },
            What::ReactionAdded {
                message,
                user,
                emoji,
            } => Self::ReactionAdded(ReactionView {
                seq,
                message_id: message.0,
                user_id: user.id.0,
                username: &user.username,
                emoji,
            }),
            What::ReactionRemoved {
                message,
                user,
                emoji,
            } => Self::ReactionRemoved(ReactionView {
                seq,
                message_id: message.0,
                user_id: user.id.0,
                username: &user.username,
                emoji,
            }),
            What::MemberJoined { user, role } => {
                Self::MemberJoined(membership(user.as_ref().into(), *role))
            }
            What::MemberLeft { user, role } => {
                Self::MemberLeft(membership(user.as_ref().into(), *role))
            }
            What::MemberChanged { user, role } => {
                Self::MemberChanged(membership(user.as_ref().into(), *role))
            }
            What::ChatUpdated(head) => Self::ChatUpdated {
                seq,
                data: head.into(),
            },
            What::ChatDeleted(head) => Self::ChatDeleted {
                seq,
                data: head.into(),
            },
            What::Typing { user, is_typing } => Self::Typing {
                user_id: user.id.0,
                username: &user.username,
                is_typing: *is_typing,
            },
            What::Presence(presence) => Self::Presence(presence.into()),
            What::Entered(user) => Self::UserOnline(ComingView {
                user_id: user.id.0,
                username: &user.username,
                last_seen: None,
            }),
            What::Left { user, at, .. } => Self::UserOffline(ComingView {
                user_id: user.id.0,
                username: &user.username,
                last_seen: Some(Timestamp(*at)),
            }),
            What::Read {
                user,
                last_read_message,
                last_read_seq,
            } => Self::MessagesRead {
                user_id: user.id.0,
                username: &user.username,
                last_read_message_id: last_read_message.map(|id| id.0),
                last_read_seq: last_read_seq.0,
            },
            What::Passed(frame) => Self::Passed(frame),
            What::Opened { .. } | What::Hidden => return None,
        })
    }

    /// The `type` of each event.
    pub const NAMES: &'static [&'static str] = &[
        "message",
        "message_edited",
        "message_deleted",
        "reaction_added",
        "reaction_removed",
        "member_joined",
        "member_left",
        "member_changed",
        "chat_updated",
        "chat_deleted",
        "typing",
        "presence",
        "user_online",
        "user_offline",
        "messages_read",
    ];

    /// Its `type`; none of what is passed on as it is.
    pub fn name(&self) -> Option<&'static str> {
        let number = match self {
            Self::Message { .. } => 0,
            Self::MessageEdited { .. } => 1,
            Self::MessageDeleted { .. } => 2,
            Self::ReactionAdded(_) => 3,
            Self::ReactionRemoved(_) => 4,
            Self::MemberJoined(_) => 5,
            Self::MemberLeft(_) => 6,
            Self::MemberChanged(_) => 7,
            Self::ChatUpdated { .. } => 8,
            Self::ChatDeleted { .. } => 9,
            Self::Typing { .. } => 10,
            Self::Presence(_) => 11,
            Self::UserOnline(_) => 12,
            Self::UserOffline(_) => 13,
            Self::MessagesRead { .. } => 14,
            Self::Passed(_) => return None,
        };
        Self::NAMES.get(number).copied()
    }

    /// The same as the sender of its message sees it: with the key that they gave it.
    pub fn for_sender(event: &'a ChatEvent) -> Option<Self> {
        Some(match (Self::of(event)?, &event.what) {
            (Self::Message { seq, data, .. }, What::Sent(message)) => Self::Message {
                seq,
                data,
                client_id: message.client_id.as_deref(),
            },
            (view, _) => view,
        })
    }
}
