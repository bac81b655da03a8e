//! What the writer's transaction does to messages that are there: edits, deletions, reactions.

use entity::{ChatId, MessageId, Time, UserId, message, reaction};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, OnConflict},
};

use super::{Batch, Stored};

impl Batch {
    /// Gives a message another text.
    pub async fn edit_message(&self, id: MessageId, text: &str, at: Time) -> Stored<()> {
        let change = message::Entity::update_many()
            .col_expr(message::Column::Text, Expr::value(text))
            .col_expr(message::Column::EditedAt, Expr::value(at))
            .filter(message::Column::Id.eq(id));
        change.exec(self.transaction()).await?;
        Ok(())
    }

    /// Empties a message; its row and number stay.
    pub async fn delete_message(&self, id: MessageId) -> Stored<()> {
        let change = message::Entity::update_many()
            .col_expr(message::Column::Text, Expr::value(""))
            .col_expr(message::Column::IsDeleted, Expr::value(true))
            .filter(message::Column::Id.eq(id));
        change.exec(self.transaction()).await?;
        reaction::Entity::delete_many()
            .filter(reaction::Column::MessageId.eq(id))
            .exec(self.transaction())
            .await?;
        Ok(())
    }

    /// A user's messages in a chat that aren't deleted, oldest first.
    pub async fn messages_of(
        &self,
        chat: ChatId,
        sender: UserId,
        limit: u64,
    ) -> Stored<Vec<message::Model>> {
        let messages = message::Entity::find()
            .filter(message::Column::ChatId.eq(chat))
            .filter(message::Column::SenderId.eq(sender))
            .filter(message::Column::IsDeleted.eq(false))
            .order_by_asc(message::Column::Seq)
            .limit(limit);
        Ok(messages.all(self.transaction()).await?)
    }

    /// Whether a user has put this emoji on a message.
    pub async fn has_reaction(
        &self,
        message: MessageId,
        user: UserId,
        emoji: &str,
    ) -> Stored<bool> {
        let found = reaction::Entity::find_by_id((message, user, emoji.to_owned()));
        Ok(found.one(self.transaction()).await?.is_some())
    }

    /// Puts an emoji on a message.
    pub async fn insert_reaction(
        &self,
        message: MessageId,
        user: UserId,
        emoji: &str,
    ) -> Stored<()> {
        let row = reaction::ActiveModel {
            message_id: Set(message),
            user_id: Set(user),
            emoji: Set(emoji.to_owned()),
        };
        let key = [
            reaction::Column::MessageId,
            reaction::Column::UserId,
            reaction::Column::Emoji,
        ];
        let again = OnConflict::columns(key).do_nothing_on(key).to_owned();
        reaction::Entity::insert(row)
            .on_conflict(again)
            .exec_without_returning(self.transaction())
            .await?;
        Ok(())
    }

    /// Takes an emoji off a message.
    pub async fn delete_reaction(
        &self,
        message: MessageId,
        user: UserId,
        emoji: &str,
    ) -> Stored<()> {
        reaction::Entity::delete_by_id((message, user, emoji.to_owned()))
            .exec(self.transaction())
            .await?;
        Ok(())
    }
}
