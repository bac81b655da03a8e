//! Chats: what is the same for every member, and what one member sees in a list.

use entity::{ChatKind, Role};
use serde::Serialize;

use crate::{
    chat::{ChatHead, ChatListed, Member},
    view::{MessageView, ProfileView, Timestamp},
};

/// What sort of conversation a chat is, as every edge writes it.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ChatKindView(pub ChatKind);

/// What is the same for every member of a chat.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ChatHeadView<'a> {
    /// Names it.
    pub id: i64,
    /// What sort of conversation.
    pub kind: ChatKind,
    /// A group's name, a room's room name; null for personal and support chats.
    pub name: Option<&'a str>,
    /// Only members may enter.
    pub is_private: bool,
    /// Who made it.
    pub created_by: i64,
    /// When.
    pub created_at: Timestamp,
}

impl<'a> From<&'a ChatHead> for ChatHeadView<'a> {
    fn from(head: &'a ChatHead) -> Self {
        Self {
            id: head.id.0,
            kind: head.kind,
            name: head.name.as_deref(),
            is_private: head.is_private,
            created_by: head.created_by.0,
            created_at: Timestamp(head.created_at),
        }
    }
}

/// A chat as one of its members sees it.
#[derive(Clone, Debug, Serialize)]
pub struct ChatView<'a> {
    /// Names it.
    pub id: i64,
    /// What sort of conversation.
    pub kind: ChatKind,
    /// A group's name, a room's room name; null for personal and support chats.
    pub name: Option<&'a str>,
    /// Only members may enter.
    pub is_private: bool,
    /// The caller's.
    pub role: Role,
    /// Of personal chats and groups of at most 20; the key is absent in others, which have the count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub members: Option<Vec<ProfileView<'a>>>,
    /// Where the members aren't listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member_count: Option<u64>,
    /// The newest that the caller may see.
    pub last_message: Option<MessageView<'a>>,
    /// The chat's counter.
    pub last_seq: i64,
    /// Others' messages after what the caller has read, counted to 1000.
    pub unread_count: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When something was said last, else when it was made.
    pub updated_at: Timestamp,
}

impl<'a> From<&'a ChatListed> for ChatView<'a> {
    fn from(chat: &'a ChatListed) -> Self {
        let members = chat.members.as_ref();
        Self {
            id: chat.head.id.0,
            kind: chat.head.kind,
            name: chat.head.name.as_deref(),
            is_private: chat.head.is_private,
            role: chat.role,
            members: members.map(|members| {
                members
                    .iter()
                    .map(|member| member.as_ref().into())
                    .collect()
            }),
            member_count: members.is_none().then_some(chat.member_count),
            last_message: chat.last_message.as_deref().map(MessageView::from),
            last_seq: chat.last_seq.0,
            unread_count: chat.unread_count,
            created_at: Timestamp(chat.head.created_at),
            updated_at: Timestamp(chat.updated_at),
        }
    }
}

/// A user's membership of a chat.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct MemberView<'a> {
    /// Who.
    pub user: ProfileView<'a>,
    /// With which role.
    pub role: Role,
    /// Since when.
    pub joined_at: Timestamp,
    /// How far they have read.
    pub last_read_seq: i64,
}

impl<'a> From<&'a Member> for MemberView<'a> {
    fn from(member: &'a Member) -> Self {
        Self {
            user: member.user.as_ref().into(),
            role: member.role,
            joined_at: Timestamp(member.joined_at),
            last_read_seq: member.last_read_seq.0,
        }
    }
}
