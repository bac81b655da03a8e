//! An account.

use sea_orm::entity::prelude::*;

use crate::{Time, UserId};

/// A row of `user`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "user")]
pub struct Model {
    /// Its number.
    #[sea_orm(primary_key, auto_increment = true)]
    pub id: UserId,
    /// Exact, as Django compares it.
    #[sea_orm(unique)]
    pub username: String,
    /// NFKC, lower case: unique where not null.
    #[sea_orm(unique)]
    pub username_key: Option<String>,
    /// Django's stored form.
    pub password: String,
    /// Email.
    pub email: String,
    /// NFKC, lower case: unique where not null.
    #[sea_orm(unique)]
    pub email_key: Option<String>,
    /// First name.
    pub first_name: String,
    /// Last name.
    pub last_name: String,
    /// May use the admin operations, answers support chats.
    pub is_staff: bool,
    /// Is active.
    pub is_active: bool,
    /// Content hash of the picture.
    pub avatar: Option<String>,
    /// Date joined.
    pub date_joined: Time,
    /// Last login.
    pub last_login: Option<Time>,
    /// Last seen.
    pub last_seen: Option<Time>,
    /// Tokens made before are refused.
    pub tokens_valid_after: Option<Time>,
    /// The database's clock; other nodes sweep by it.
    pub changed_at: Time,
}

/// No relations are declared: queries name their joins.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
