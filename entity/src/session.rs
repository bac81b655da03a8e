//! One sign-in: what a token belongs to, and what signing out revokes.

use sea_orm::entity::prelude::*;

use crate::{SessionId, SessionKind, Time, UserId};

/// A row of `session`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "session")]
pub struct Model {
    /// Its number.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: SessionId,
    /// The user.
    pub user_id: UserId,
    /// Kind.
    pub kind: SessionKind,
    /// Created at.
    pub created_at: Time,
    /// Expires at.
    pub expires_at: Time,
    /// Last used at.
    pub last_used_at: Time,
    /// The database's clock; other nodes sweep by it.
    pub revoked_at: Option<Time>,
    /// The refresh token that is good.
    pub refresh_jti: Option<String>,
    /// The one before it.
    pub previous_jti: Option<String>,
    /// Rotated at.
    pub rotated_at: Option<Time>,
    /// User agent, at most 255 characters.
    pub client: String,
}

/// No relations are declared: queries name their joins.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
