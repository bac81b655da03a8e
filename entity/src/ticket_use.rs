//! A one-time ticket that has been used.

use sea_orm::entity::prelude::*;

use crate::Time;

/// A row of `ticket_use`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "ticket_use")]
pub struct Model {
    /// Nonce.
    #[sea_orm(primary_key, auto_increment = false)]
    pub nonce: String,
    /// Expires at.
    pub expires_at: Time,
}

/// No relations are declared: queries name their joins.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
