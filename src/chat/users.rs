//! Accounts, profiles and blocks.

use std::{net::IpAddr, sync::Arc};

use entity::{Time, UserId};

use crate::chat::{Actor, ChatError, Profile};

/// An account to be made.
#[derive(Clone, Debug, Default)]
pub struct NewUser {
    /// Django's rule: letters, digits and `@.+-_`, at most 150.
    pub username: String,
    /// Checked against the password policy.
    pub password: String,
    /// May be empty.
    pub email: String,
    /// May be empty.
    pub first_name: String,
    /// May be empty.
    pub last_name: String,
}

/// An account as others see it; `is_online` and `last_seen` only between people who share a chat.
#[derive(Clone, Debug)]
pub struct Account {
    /// What everybody may know.
    pub profile: Arc<Profile>,
    /// Shown to oneself and staff.
    pub email: String,
    /// Operators.
    pub is_staff: bool,
    /// Deactivated accounts can't sign in.
    pub is_active: bool,
    /// Content hash of the picture.
    pub avatar: Option<String>,
    /// Since when.
    pub date_joined: Time,
    /// None where the caller may not know.
    pub is_online: Option<bool>,
    /// None where the caller may not know, or never.
    pub last_seen: Option<Time>,
}

/// What a user may change of their own account. `None` leaves it.
#[derive(Clone, Debug, Default)]
pub struct UserPatch {
    /// A new name to sign in with.
    pub username: Option<String>,
    /// A new address.
    pub email: Option<String>,
    /// A new first name.
    pub first_name: Option<String>,
    /// A new last name.
    pub last_name: Option<String>,
}

/// What staff may change of an account. `None` leaves it.
#[derive(Clone, Debug, Default)]
pub struct StaffPatch {
    /// Deactivation ends all sessions and sockets.
    pub is_active: Option<bool>,
    /// Makes an operator.
    pub is_staff: Option<bool>,
}

/// A page of accounts and how many there are in all.
pub type UserPage = (Vec<Account>, u64);

/// Accounts.
pub struct Users {}

impl Users {
    /// Registers. Field errors are `ChatError::Invalid`, all of them at once.
    pub async fn register(
        &self,
        new: NewUser,
        address: Option<IpAddr>,
    ) -> Result<Account, Vec<ChatError>> {
        let _ = (new, address);
        unimplemented!()
    }

    /// Profiles whose names contain `search`, by name. `page` from 1.
    pub async fn list(
        &self,
        actor: &Actor,
        search: Option<&str>,
        page: u64,
        page_size: u64,
    ) -> Result<UserPage, ChatError> {
        let _ = (actor, search, page, page_size);
        unimplemented!()
    }

    /// One profile.
    pub async fn find(&self, actor: &Actor, user: UserId) -> Result<Account, ChatError> {
        let _ = (actor, user);
        unimplemented!()
    }

    /// Changes one's own account. Field errors are `ChatError::Invalid`, all of them at once.
    pub async fn update(&self, actor: &Actor, patch: UserPatch) -> Result<Account, Vec<ChatError>> {
        let _ = (actor, patch);
        unimplemented!()
    }

    /// Changes an account, as staff.
    pub async fn update_as_staff(
        &self,
        actor: &Actor,
        user: UserId,
        patch: StaffPatch,
    ) -> Result<Account, ChatError> {
        let _ = (actor, user, patch);
        unimplemented!()
    }

    /// Ends one's own account: sessions and sockets end, names and e-mail are emptied, memberships end with the events
    /// of leaving, messages stay.
    pub async fn delete(&self, actor: &Actor) -> Result<(), ChatError> {
        let _ = actor;
        unimplemented!()
    }

    /// Blocks a user: they can't open a personal chat with the caller, add them to a group, or send in theirs.
    pub async fn block(&self, actor: &Actor, user: UserId) -> Result<(), ChatError> {
        let _ = (actor, user);
        unimplemented!()
    }

    /// Unblocks a user.
    pub async fn unblock(&self, actor: &Actor, user: UserId) -> Result<(), ChatError> {
        let _ = (actor, user);
        unimplemented!()
    }
}
