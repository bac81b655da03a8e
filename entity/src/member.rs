//! A user's membership of a chat.

use sea_orm::entity::prelude::*;

use crate::{ChatId, Role, Seq, Time, UserId};

/// A row of `member`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "member")]
pub struct Model {
    /// The chat.
    #[sea_orm(primary_key, auto_increment = false)]
    pub chat_id: ChatId,
    /// The user.
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: UserId,
    /// Role.
    pub role: Role,
    /// The database's clock; other nodes sweep by it.
    pub joined_at: Time,
    /// Never goes back.
    pub last_read_seq: Seq,
    /// What this member hid from themselves.
    pub cleared_seq: Seq,
    /// The chat's `message_count` then.
    pub cleared_count: i64,
}

/// No relations are declared: queries name their joins.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
