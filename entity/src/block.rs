//! A user who wants to hear nothing of another.

use sea_orm::entity::prelude::*;

use crate::UserId;

/// A row of `block`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "block")]
pub struct Model {
    /// The user.
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: UserId,
    /// Blocked id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub blocked_id: UserId,
}

/// No relations are declared: queries name their joins.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
