//! Who belongs to a chat, and with which role.

use std::sync::Arc;

use entity::{ChatId, Role, Seq, Time, UserId};

use crate::chat::{Actor, ChatError, Profile};

/// A user's membership of a chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub user: Arc<Profile>,
    /// With which role.
    pub role: Role,
    /// Since when.
    pub joined_at: Time,
    /// How far they have read.
    pub last_read_seq: Seq,
}

/// Adding, removing, promoting, leaving.
pub struct Members {}

impl Members {
    /// The members of a chat, longest-standing first, and how many there are. `page` from 1.
    pub async fn list(
        &self,
        actor: &Actor,
        chat: ChatId,
        page: u64,
        page_size: u64,
    ) -> Result<(Vec<Member>, u64), ChatError> {
        let _ = (actor, chat, page, page_size);
        unimplemented!()
    }

    /// One member.
    pub async fn find(
        &self,
        actor: &Actor,
        chat: ChatId,
        user: UserId,
    ) -> Result<Member, ChatError> {
        let _ = (actor, chat, user);
        unimplemented!()
    }

    /// Adds users to a group or room; who is a member already stays as they are. Whoever was barred isn't any more.
    pub async fn add(
        &self,
        actor: &Actor,
        chat: ChatId,
        users: Vec<UserId>,
        role: Role,
    ) -> Result<Vec<Member>, ChatError> {
        let _ = (actor, chat, users, role);
        unimplemented!()
    }

    /// Gives a member another role. `Owner` hands the ownership over: the caller becomes an admin.
    pub async fn set_role(
        &self,
        actor: &Actor,
        chat: ChatId,
        user: UserId,
        role: Role,
    ) -> Result<Member, ChatError> {
        let _ = (actor, chat, user, role);
        unimplemented!()
    }

    /// Removes another, who is barred from then on; or leaves, where `user` is the caller.
    pub async fn remove(&self, actor: &Actor, chat: ChatId, user: UserId) -> Result<(), ChatError> {
        let _ = (actor, chat, user);
        unimplemented!()
    }
}
