//! One entry of a chat, in its latest state.

use sea_orm::entity::prelude::*;

use crate::{ChatId, ContentType, MessageId, Seq, Time, UserId};

/// A row of `message`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "message")]
pub struct Model {
    /// Its number.
    #[sea_orm(primary_key, auto_increment = true)]
    pub id: MessageId,
    /// The chat.
    pub chat_id: ChatId,
    /// Its number in the chat.
    pub seq: Seq,
    /// Sender id.
    pub sender_id: UserId,
    /// Empty once deleted.
    pub text: String,
    /// Content type.
    pub content_type: ContentType,
    /// The sender's own key against doubles.
    pub client_id: Option<String>,
    /// Reply to.
    pub reply_to: Option<MessageId>,
    /// Never goes back within a chat.
    pub timestamp: Time,
    /// Edited at.
    pub edited_at: Option<Time>,
    /// Is deleted.
    pub is_deleted: bool,
}

/// No relations are declared: queries name their joins.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
