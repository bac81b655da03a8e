//! A file that was sent to a chat.

use sea_orm::entity::prelude::*;

use crate::{ChatId, MessageId, Time};

/// A row of `attachment`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "attachment")]
pub struct Model {
    /// Its number.
    #[sea_orm(primary_key, auto_increment = true)]
    pub id: i64,
    /// The chat.
    pub chat_id: ChatId,
    /// The message that it came with.
    #[sea_orm(unique)]
    pub message_id: MessageId,
    /// As its sender called it, made safe.
    pub name: String,
    /// What it is, by its content.
    pub content_type: String,
    /// Its size.
    pub bytes: i64,
    /// Of its content, as 64 hexadecimal digits.
    pub sha256: String,
    /// What it is called on the disk.
    pub file: String,
    /// When it came.
    pub created_at: Time,
}

/// No relations are declared: queries name their joins.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
