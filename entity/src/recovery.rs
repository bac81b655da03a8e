//! A recovery code that was sent to somebody: one at a time per account.

use sea_orm::entity::prelude::*;

use crate::{Time, UserId};

/// A row of `recovery`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "recovery")]
pub struct Model {
    /// Whose.
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: UserId,
    /// The code's HMAC, in hexadecimal digits.
    pub code_hash: String,
    /// When it is no good any more.
    pub expires_at: Time,
    /// How often a code was tried.
    pub tries: i32,
}

/// No relations are declared: queries name their joins.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
