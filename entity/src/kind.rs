//! The small closed sets that stand in columns as words.

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

/// What sort of conversation a chat is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, EnumIter, DeriveActiveEnum,
)]
#[sea_orm(
    rs_type = "String",
    db_type = "String(StringLen::N(16))",
    rename_all = "snake_case"
)]
#[serde(rename_all = "snake_case")]
pub enum ChatKind {
    /// Exactly two users, one per pair.
    Personal,
    /// Named, with roles.
    Group,
    /// Public, with a unique name, made at the first join.
    Room,
    /// One per user, answered by any operator.
    Support,
}

/// What a member may do.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, EnumIter, DeriveActiveEnum,
)]
#[sea_orm(
    rs_type = "String",
    db_type = "String(StringLen::N(16))",
    rename_all = "snake_case"
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything.
    Owner,
    /// Renames, adds, removes, deletes messages, makes admins.
    Admin,
    /// Reads, writes, leaves.
    Member,
    /// Barred: no rights, not listed, not counted.
    Banned,
}

/// What a message's text is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, EnumIter, DeriveActiveEnum,
)]
#[sea_orm(
    rs_type = "String",
    db_type = "String(StringLen::N(16))",
    rename_all = "snake_case"
)]
#[serde(rename_all = "snake_case")]
pub enum ContentType {
    /// Words.
    Text,
    /// A reference to a picture.
    Picture,
    /// A reference to a sticker.
    Sticker,
    /// A reference to a file.
    File,
}

/// Which durable thing, other than a new message, took a number.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, EnumIter, DeriveActiveEnum,
)]
#[sea_orm(
    rs_type = "String",
    db_type = "String(StringLen::N(24))",
    rename_all = "snake_case"
)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// A message's text was changed.
    MessageEdited,
    /// A message was deleted.
    MessageDeleted,
    /// A reaction was added to a message.
    ReactionAdded,
    /// A reaction was taken back.
    ReactionRemoved,
    /// Somebody became a member.
    MemberJoined,
    /// Somebody left or was removed.
    MemberLeft,
    /// Somebody's role changed.
    MemberChanged,
    /// The chat's name or privacy changed.
    ChatUpdated,
    /// The chat was deleted for all.
    ChatDeleted,
}

impl ChangeKind {
    /// Whether the event shows the message's latest state.
    pub fn shows_message(self) -> bool {
        matches!(self, ChangeKind::MessageEdited | ChangeKind::MessageDeleted)
    }
}

/// By which door a session was begun.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, EnumIter, DeriveActiveEnum,
)]
#[sea_orm(
    rs_type = "String",
    db_type = "String(StringLen::N(16))",
    rename_all = "snake_case"
)]
#[serde(rename_all = "snake_case")]
pub enum SessionKind {
    /// `/api/token/`: a refresh token and its access tokens.
    Jwt,
    /// `/v1/auth/` and support's first frame.
    Support,
    /// rpc's `auth` and `register`.
    Rpc,
}
