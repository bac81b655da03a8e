//! Any durable thing other than a new message that took a number of its chat.

use sea_orm::entity::prelude::*;

use crate::{ChangeKind, ChatId, MessageId, Role, Seq, Time, UserId};

/// A row of `change`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "change")]
pub struct Model {
    /// The chat.
    #[sea_orm(primary_key, auto_increment = false)]
    pub chat_id: ChatId,
    /// Its number in the chat.
    #[sea_orm(primary_key, auto_increment = false)]
    pub seq: Seq,
    /// Kind.
    pub kind: ChangeKind,
    /// Message id.
    pub message_id: Option<MessageId>,
    /// Whom it concerns.
    pub user_id: Option<UserId>,
    /// Who did it.
    pub by_id: UserId,
    /// A member's role after it.
    pub role: Option<Role>,
    /// Emoji.
    pub emoji: Option<String>,
    /// At.
    pub at: Time,
}

/// No relations are declared: queries name their joins.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
