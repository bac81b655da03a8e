//! What is held on one user, read in pages by keys.

use entity::{ChatId, MessageId, Seq, UserId, block, change, chat, member, message, reaction};
use sea_orm::{
    ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect, sea_query::ExprTrait,
};

use super::{Store, Stored};

impl Store {
    /// A user's memberships, after a chat.
    pub async fn memberships_after(
        &self,
        user: UserId,
        after: ChatId,
        limit: u64,
    ) -> Stored<Vec<member::Model>> {
        let memberships = member::Entity::find()
            .filter(member::Column::UserId.eq(user))
            .filter(member::Column::ChatId.gt(after))
            .order_by_asc(member::Column::ChatId)
            .limit(limit);
        Ok(memberships.all(self.read()).await?)
    }

    /// Chats by their ids.
    pub async fn chats_by_id(
        &self,
        ids: impl IntoIterator<Item = ChatId>,
    ) -> Stored<Vec<chat::Model>> {
        let chats = chat::Entity::find().filter(chat::Column::Id.is_in(ids));
        Ok(chats.all(self.read()).await?)
    }

    /// What a user said anywhere, after a message; without what was deleted.
    pub async fn said_after(
        &self,
        user: UserId,
        after: MessageId,
        limit: u64,
    ) -> Stored<Vec<message::Model>> {
        let messages = message::Entity::find()
            .filter(message::Column::SenderId.eq(user))
            .filter(message::Column::Id.gt(after))
            .filter(message::Column::IsDeleted.eq(false))
            .order_by_asc(message::Column::Id)
            .limit(limit);
        Ok(messages.all(self.read()).await?)
    }

    /// A user's reactions, after one of them.
    pub async fn reactions_after(
        &self,
        user: UserId,
        after: (MessageId, &str),
        limit: u64,
    ) -> Stored<Vec<reaction::Model>> {
        let (message, emoji) = after;
        let beyond = reaction::Column::MessageId.gt(message);
        let same = reaction::Column::MessageId
            .eq(message)
            .and(reaction::Column::Emoji.gt(emoji));
        let reactions = reaction::Entity::find()
            .filter(reaction::Column::UserId.eq(user))
            .filter(Condition::any().add(beyond).add(same))
            .order_by_asc(reaction::Column::MessageId)
            .order_by_asc(reaction::Column::Emoji)
            .limit(limit);
        Ok(reactions.all(self.read()).await?)
    }

    /// What a user changed, and what was changed of them, after a number of a chat.
    pub async fn changes_after(
        &self,
        user: UserId,
        after: (ChatId, Seq),
        limit: u64,
    ) -> Stored<Vec<change::Model>> {
        let (chat, seq) = after;
        let concerns = Condition::any()
            .add(change::Column::ById.eq(user))
            .add(change::Column::UserId.eq(user));
        let same = change::Column::ChatId
            .eq(chat)
            .and(change::Column::Seq.gt(seq));
        let beyond = Condition::any()
            .add(change::Column::ChatId.gt(chat))
            .add(same);
        let changes = change::Entity::find()
            .filter(concerns)
            .filter(beyond)
            .order_by_asc(change::Column::ChatId)
            .order_by_asc(change::Column::Seq)
            .limit(limit);
        Ok(changes.all(self.read()).await?)
    }

    /// Whom a user blocks, after one of them.
    pub async fn blocks_after(
        &self,
        user: UserId,
        after: UserId,
        limit: u64,
    ) -> Stored<Vec<UserId>> {
        let blocks = block::Entity::find()
            .select_only()
            .column(block::Column::BlockedId)
            .filter(block::Column::UserId.eq(user))
            .filter(block::Column::BlockedId.gt(after))
            .order_by_asc(block::Column::BlockedId)
            .limit(limit);
        Ok(blocks.into_tuple().all(self.read()).await?)
    }
}
