//! A conversation.

use sea_orm::entity::prelude::*;

use crate::{ChatId, ChatKind, Seq, Time, UserId};

/// A row of `chat`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "chat")]
pub struct Model {
    /// Its number.
    #[sea_orm(primary_key, auto_increment = true)]
    pub id: ChatId,
    /// Kind.
    pub kind: ChatKind,
    /// Of groups and rooms.
    pub name: Option<String>,
    /// As first written.
    pub room_name: Option<String>,
    /// NFKC, lower case; of rooms, null once deleted.
    #[sea_orm(unique)]
    pub room_key: Option<String>,
    /// `<lower id>:<higher id>`, of personal chats.
    #[sea_orm(unique)]
    pub pair_key: Option<String>,
    /// The customer, of support chats.
    #[sea_orm(unique)]
    pub support_user_id: Option<UserId>,
    /// Created by.
    pub created_by: UserId,
    /// Created at.
    pub created_at: Time,
    /// The only counter: raised under the row's lock.
    pub last_seq: Seq,
    /// Deleted messages included.
    pub message_count: i64,
    /// Last message at.
    pub last_message_at: Option<Time>,
    /// Is private.
    pub is_private: bool,
    /// Is deleted.
    pub is_deleted: bool,
    /// What some operator has read.
    pub support_read_seq: Seq,
    /// The customer's first unanswered message.
    pub waiting_seq: Option<Seq>,
    /// Waiting since.
    pub waiting_since: Option<Time>,
}

/// No relations are declared: queries name their joins.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
