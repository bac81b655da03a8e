//! Users, as others see them and as they see themselves.

use serde::Serialize;

use crate::{
    chat::{Account, Profile},
    view::Timestamp,
};

/// What everybody may know of a user.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ProfileView<'a> {
    /// The account.
    pub id: i64,
    /// The name that it signs in with.
    pub username: &'a str,
    /// May be empty.
    pub first_name: &'a str,
    /// May be empty.
    pub last_name: &'a str,
}

impl<'a> From<&'a Profile> for ProfileView<'a> {
    fn from(profile: &'a Profile) -> Self {
        Self {
            id: profile.id.0,
            username: &profile.username,
            first_name: &profile.first_name,
            last_name: &profile.last_name,
        }
    }
}

/// A user's public page. Whether they are there is told between people who share a chat; the keys are
/// always there.
#[derive(Clone, Debug, Serialize)]
pub struct UserView<'a> {
    /// Who.
    #[serde(flatten)]
    pub profile: ProfileView<'a>,
    /// The picture's address: another one whenever the picture is another.
    pub avatar: Option<String>,
    /// Whether any socket of theirs is open.
    pub is_online: Option<bool>,
    /// When one was open last.
    pub last_seen: Option<Timestamp>,
}

impl<'a> From<&'a Account> for UserView<'a> {
    fn from(account: &'a Account) -> Self {
        Self {
            profile: account.profile.as_ref().into(),
            avatar: account
                .avatar
                .as_ref()
                .map(|hash| format!("/api/users/{}/avatar/?v={hash}", account.profile.id)),
            is_online: account.is_online,
            last_seen: account.last_seen.map(Timestamp),
        }
    }
}

/// One's own account, and any account as staff see it.
#[derive(Clone, Debug, Serialize)]
pub struct AccountView<'a> {
    /// What others see.
    #[serde(flatten)]
    pub user: UserView<'a>,
    /// May be empty.
    pub email: &'a str,
    /// Operators.
    pub is_staff: bool,
    /// Deactivated accounts can't sign in.
    pub is_active: bool,
    /// Since when.
    pub date_joined: Timestamp,
}

impl<'a> From<&'a Account> for AccountView<'a> {
    fn from(account: &'a Account) -> Self {
        Self {
            user: account.into(),
            email: &account.email,
            is_staff: account.is_staff,
            is_active: account.is_active,
            date_joined: Timestamp(account.date_joined),
        }
    }
}
