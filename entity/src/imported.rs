//! A chat that came from another service.

use sea_orm::entity::prelude::*;

use crate::ChatId;

/// A row of `imported`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "imported")]
pub struct Model {
    /// The table that it came from.
    #[sea_orm(primary_key, auto_increment = false)]
    pub source: String,
    /// Its key there.
    #[sea_orm(primary_key, auto_increment = false)]
    pub key: String,
    /// The chat here.
    pub chat_id: ChatId,
}

/// No relations are declared: queries name their joins.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
