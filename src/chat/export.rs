//! Everything that is held on a user, for that user: in pages, so that nobody holds all of it at once.
//!
//! What belongs to others (who blocks the user, what was said to them) is not in it; nor are password and secrets.

use std::{collections::HashMap, sync::Arc};

use entity::{ChangeKind, ChatId, ChatKind, MessageId, Role, Seq, Time, UserId, chat};

use crate::{
    chat::{Actor, ChatError, Message, core::Core},
    store::Stored,
};

/// Entries of a page.
const PAGE: u64 = 500;

/// A chat that a user belongs to, or is barred from.
#[derive(Clone, Debug)]
pub struct Membership {
    /// The chat.
    pub chat: ChatId,
    /// What sort.
    pub kind: Option<ChatKind>,
    /// A group's or room's name.
    pub name: Option<String>,
    /// Their role.
    pub role: Role,
    /// Since when.
    pub joined_at: Time,
    /// How far they have read.
    pub last_read_seq: Seq,
    /// Up to where they hid it from themselves.
    pub cleared_seq: Seq,
}

/// An emoji that a user put on a message.
#[derive(Clone, Debug)]
pub struct Reacted {
    /// The message.
    pub message: MessageId,
    /// The emoji.
    pub emoji: String,
}

/// Something that a user changed, or that was changed of them.
#[derive(Clone, Debug)]
pub struct Changed {
    /// Where.
    pub chat: ChatId,
    /// Its number there.
    pub seq: Seq,
    /// What.
    pub kind: ChangeKind,
    /// The message, where it is one.
    pub message: Option<MessageId>,
    /// Whom it concerns.
    pub user: Option<UserId>,
    /// Who did it.
    pub by: UserId,
    /// A member's role after it.
    pub role: Option<Role>,
    /// Of a reaction.
    pub emoji: Option<String>,
    /// When.
    pub at: Time,
}

/// A page, and where the next one begins; none at the end.
pub type Exported<T, K> = (Vec<T>, Option<K>);

/// Reading what is held on oneself.
pub struct Exports {
    pub(super) core: Arc<Core>,
}

impl Exports {
    /// Begins one: a few an hour, since each reads much.
    pub async fn begin(&self, actor: &Actor) -> Result<(), ChatError> {
        let slot = self.core.exports.take(&actor.id()).await;
        let slot = slot.map_err(|retry_after| ChatError::TooManyRequests { retry_after })?;
        slot.keep();
        Ok(())
    }

    /// The user's chats.
    pub async fn memberships(
        &self,
        actor: &Actor,
        after: Option<ChatId>,
    ) -> Result<Exported<Membership, ChatId>, ChatError> {
        let after = after.unwrap_or(ChatId(0));
        let rows = self
            .core
            .store
            .memberships_after(actor.id(), after, PAGE)
            .await?;
        let next = next(&rows, |row| row.chat_id);
        let chats = self.chats(rows.iter().map(|row| row.chat_id)).await?;
        let membership = |row: entity::member::Model| {
            let chat = chats.get(&row.chat_id);
            Membership {
                chat: row.chat_id,
                kind: chat.map(|chat| chat.kind),
                name: chat.and_then(|chat| chat.name.clone().or(chat.room_name.clone())),
                role: row.role,
                joined_at: row.joined_at,
                last_read_seq: row.last_read_seq,
                cleared_seq: row.cleared_seq,
            }
        };
        Ok((rows.into_iter().map(membership).collect(), next))
    }

    async fn chats(
        &self,
        ids: impl IntoIterator<Item = ChatId>,
    ) -> Stored<HashMap<ChatId, chat::Model>> {
        let rows = self.core.store.chats_by_id(ids).await?;
        Ok(rows.into_iter().map(|row| (row.id, row)).collect())
    }

    /// What the user said, in whatever chat, with the files.
    pub async fn messages(
        &self,
        actor: &Actor,
        after: Option<MessageId>,
    ) -> Result<Exported<Arc<Message>, MessageId>, ChatError> {
        let after = after.unwrap_or(MessageId(0));
        let rows = self.core.store.said_after(actor.id(), after, PAGE).await?;
        let next = next(&rows, |row| row.id);
        Ok((self.core.messages(rows).await?, next))
    }

    /// The user's reactions.
    pub async fn reactions(
        &self,
        actor: &Actor,
        after: Option<(MessageId, String)>,
    ) -> Result<Exported<Reacted, (MessageId, String)>, ChatError> {
        let (message, emoji) = after.unwrap_or((MessageId(0), String::new()));
        let store = &self.core.store;
        let rows = store
            .reactions_after(actor.id(), (message, &emoji), PAGE)
            .await?;
        let next = next(&rows, |row| (row.message_id, row.emoji.clone()));
        let reacted = rows.into_iter().map(|row| Reacted {
            message: row.message_id,
            emoji: row.emoji,
        });
        Ok((reacted.collect(), next))
    }

    /// What the user changed, and what was changed of them.
    pub async fn changes(
        &self,
        actor: &Actor,
        after: Option<(ChatId, Seq)>,
    ) -> Result<Exported<Changed, (ChatId, Seq)>, ChatError> {
        let after = after.unwrap_or((ChatId(0), Seq(0)));
        let rows = self
            .core
            .store
            .changes_after(actor.id(), after, PAGE)
            .await?;
        let next = next(&rows, |row| (row.chat_id, row.seq));
        let changed = rows.into_iter().map(|row| Changed {
            chat: row.chat_id,
            seq: row.seq,
            kind: row.kind,
            message: row.message_id,
            user: row.user_id,
            by: row.by_id,
            role: row.role,
            emoji: row.emoji,
            at: row.at,
        });
        Ok((changed.collect(), next))
    }

    /// Whom the user blocks.
    pub async fn blocks(
        &self,
        actor: &Actor,
        after: Option<UserId>,
    ) -> Result<Exported<UserId, UserId>, ChatError> {
        let after = after.unwrap_or(UserId(0));
        let rows = self
            .core
            .store
            .blocks_after(actor.id(), after, PAGE)
            .await?;
        let next = next(&rows, |row| *row);
        Ok((rows, next))
    }
}

/// Where the next page begins, if this one is full.
fn next<T, K>(rows: &[T], key: impl Fn(&T) -> K) -> Option<K> {
    let is_full = rows.len() as u64 >= PAGE;
    rows.last().filter(|_| is_full).map(key)
}
