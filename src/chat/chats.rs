//! Making, listing, changing and deleting chats.

use std::sync::Arc;

use entity::{ChatId, ChatKind, Role, Seq, Time, UserId};

use crate::chat::{Actor, ChatError, ChatHead, Message, Profile};

/// A chat to be made.
#[derive(Clone, Debug)]
pub struct NewChat {
    /// What sort.
    pub kind: ChatKind,
    /// Of groups and rooms.
    pub name: Option<String>,
    /// Whom to add; of a personal chat, the other one.
    pub members: Vec<UserId>,
    /// Only members may enter.
    pub is_private: bool,
}

/// A chat that was made, or was there: one per pair, one support chat per user.
#[derive(Clone, Debug)]
pub struct Created {
    /// The chat, as its caller sees it.
    pub chat: ChatListed,
    /// It was there before.
    pub existing: bool,
}

/// What to change of a chat. `None` leaves it.
#[derive(Clone, Debug, Default)]
pub struct ChatPatch {
    /// A group's or room's name.
    pub name: Option<String>,
    /// Only members may enter.
    pub is_private: Option<bool>,
}

/// A chat as one of its members sees it in a list.
#[derive(Clone, Debug)]
pub struct ChatListed {
    /// What is the same for every member.
    pub head: ChatHead,
    /// The caller's role; `Member` for staff in support chats.
    pub role: Role,
    /// Of personal chats and groups of at most 20.
    pub members: Option<Vec<Arc<Profile>>>,
    /// Without the barred.
    pub member_count: u64,
    /// The newest that the caller may see.
    pub last_message: Option<Arc<Message>>,
    /// The chat's counter.
    pub last_seq: Seq,
    /// Others' messages after what the caller has read, counted to 1000.
    pub unread_count: u64,
    /// `last_message_at`, else `created_at`.
    pub updated_at: Time,
}

/// What a connection needs when it enters a chat.
#[derive(Clone, Debug)]
pub struct Entered {
    /// The chat.
    pub head: Arc<ChatHead>,
    /// The member's role; `Member` for staff in support chats.
    pub role: Role,
    /// The chat's counter when it was read.
    pub last_seq: Seq,
    /// Others' messages after what the member has read, counted to 1000.
    pub unread_count: u64,
}

/// Conversations.
pub struct Chats {}

impl Chats {
    /// The caller's chats, last active first, and how many there are. `page` from 1; `search` looks into names.
    pub async fn list(
        &self,
        actor: &Actor,
        kind: Option<ChatKind>,
        search: Option<&str>,
        page: u64,
        page_size: u64,
    ) -> Result<(Vec<ChatListed>, u64), ChatError> {
        let _ = (actor, kind, search, page, page_size);
        unimplemented!()
    }

    /// One chat, for a member.
    pub async fn find(&self, actor: &Actor, chat: ChatId) -> Result<ChatListed, ChatError> {
        let _ = (actor, chat);
        unimplemented!()
    }

    /// What a connection needs when it enters: one query.
    pub async fn enter(&self, actor: &Actor, chat: ChatId) -> Result<Entered, ChatError> {
        let _ = (actor, chat);
        unimplemented!()
    }

    /// Makes a chat; a personal or support chat that exists is returned.
    pub async fn create(&self, actor: &Actor, new: NewChat) -> Result<Created, ChatError> {
        let _ = (actor, new);
        unimplemented!()
    }

    /// Renames, makes private or public.
    pub async fn update(
        &self,
        actor: &Actor,
        chat: ChatId,
        patch: ChatPatch,
    ) -> Result<ChatListed, ChatError> {
        let _ = (actor, chat, patch);
        unimplemented!()
    }

    /// Deletes a group or room for all; hides a personal or support chat, and what was said, from the caller.
    pub async fn delete(&self, actor: &Actor, chat: ChatId) -> Result<(), ChatError> {
        let _ = (actor, chat);
        unimplemented!()
    }
}
