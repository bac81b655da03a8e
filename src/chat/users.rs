//! Users: registering, finding others, one's own account, who is there, blocks.
//!
//! How accounts are made and changed stands in `accounts.rs`; here is who may ask, what they are shown, and what a
//! change means to this node at once.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use entity::{Time, UserId, user};
use parking_lot::Mutex;
use tracing::warn;

use crate::{
    chat::{
        Accounts, Actor, ChatError, Profile, Thing, accounts::Changed, avatars::Avatars,
        core::Core, names::folded, people::is_deleted, revoked::Revocations, throttle::network,
    },
    lease::{Slot, Windows},
    metrics,
    store::Listed,
};

/// Users whose last visit is written down at once.
const SEEN_AT_ONCE: usize = 1000;
/// In which registrations are counted.
const HOUR: Duration = Duration::from_secs(3600);

/// Who may register.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Registration {
    /// Anybody.
    #[default]
    Open,
    /// Staff, for others.
    Staff,
    /// Nobody.
    Closed,
}

/// Whose profiles a user finds. Staff find everybody's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Directory {
    /// Everybody's.
    #[default]
    Open,
    /// Those of exact names, and of people whom one shares a chat with.
    Exact,
}

/// How users come and what they see of each other.
#[derive(Clone, Copy, Debug, Default)]
pub struct UserRules {
    /// Who may register.
    pub registration: Registration,
    /// Whose profiles a user finds.
    pub directory: Directory,
}

/// Whether a user has a socket open at this node: whoever holds the connections knows.
pub type Online = Box<dyn Fn(UserId) -> bool + Send + Sync>;

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

/// Whether somebody is there, and when they last were: for those who may know.
type Presence = (bool, Option<Time>);

impl Account {
    pub(crate) fn of(row: user::Model, presence: Option<Presence>) -> Self {
        Account {
            profile: Arc::new(Profile {
                id: row.id,
                username: row.username,
                first_name: row.first_name,
                last_name: row.last_name,
            }),
            email: row.email,
            is_staff: row.is_staff,
            is_active: row.is_active,
            avatar: row.avatar,
            date_joined: row.date_joined,
            is_online: presence.map(|(is_online, _)| is_online),
            last_seen: presence.and_then(|(_, last_seen)| last_seen),
        }
    }
}

/// Accounts.
pub struct Users {
    core: Arc<Core>,
    accounts: Accounts,
    revocations: Arc<Revocations>,
    rules: UserRules,
    registrations: Windows<IpAddr>,
    is_here: Online,
    pub(super) avatars: Avatars,
    /// Whose last socket closed when, until it is written. At most every user of the database.
    seen: Mutex<HashMap<UserId, Time>>,
}

impl Users {
    pub(crate) fn new(
        core: Arc<Core>,
        accounts: Accounts,
        revocations: Arc<Revocations>,
        rules: UserRules,
        online: Online,
        avatars: Avatars,
    ) -> Self {
        Users {
            registrations: core.common.windows(
                "registrations",
                core.limits.registrations_per_hour,
                HOUR,
            ),
            core,
            accounts,
            revocations,
            rules,
            is_here: online,
            avatars,
            seen: Mutex::default(),
        }
    }

    /// Who may register.
    pub fn registration(&self) -> Registration {
        self.rules.registration
    }

    /// Registers. Field errors are `ChatError::Invalid`, all of them at once.
    pub async fn register(
        &self,
        actor: Option<&Actor>,
        new: NewUser,
        address: Option<IpAddr>,
    ) -> Result<Account, Vec<ChatError>> {
        let is_staff = actor.is_some_and(|actor| actor.is_staff);
        match self.rules.registration {
            Registration::Open => {}
            Registration::Staff if is_staff => {}
            Registration::Staff => return Err(vec![ChatError::Forbidden("only staff register")]),
            Registration::Closed => return Err(vec![ChatError::Forbidden("nobody registers")]),
        }
        let slot = match address {
            Some(address) if !is_staff => self.registrations.take(&network(address)).await,
            _ => Ok(Slot::free()),
        };
        let slot = slot
            .inspect_err(|_| metrics::THROTTLED.of("registration").one())
            .map_err(|retry_after| vec![ChatError::TooManyRequests { retry_after }])?;
        let account = self.accounts.create(new, false).await?;
        slot.keep();
        Ok(account)
    }

    /// Profiles whose names contain `search`, by name. `page` from 1.
    pub async fn list(
        &self,
        actor: &Actor,
        search: Option<&str>,
        page: u64,
        page_size: u64,
    ) -> Result<UserPage, ChatError> {
        let key = search.map(folded).unwrap_or_default();
        let listed = match (self.finds_everybody(actor), search) {
            (true, None) => Listed::All,
            (true, Some(text)) => Listed::Containing { text, key: &key },
            (false, None) => Listed::Known(actor.id()),
            (false, Some(text)) => Listed::Named { text, key: &key },
        };
        let offset = page.saturating_sub(1).saturating_mul(page_size);
        let store = &self.core.store;
        // SQLite's numbers are signed.
        let offset = offset.min(i64::MAX.unsigned_abs());
        let (rows, count) = store
            .list_accounts(listed, actor.is_staff, page_size, offset)
            .await?;
        let ids: Vec<UserId> = rows.iter().map(|row| row.id).collect();
        let mut known = store.who_shares_a_chat(actor.id(), &ids).await?;
        known.insert(actor.id());
        let online = self.online(known.iter().copied()).await;
        let accounts = rows.into_iter().map(|row| {
            let is_known = known.contains(&row.id);
            let presence = is_known.then(|| self.seen_at(&row, online.contains(&row.id)));
            Account::of(row, presence)
        });
        Ok((accounts.collect(), count))
    }

    /// One profile.
    pub async fn find(&self, actor: &Actor, user: UserId) -> Result<Account, ChatError> {
        let row = self.row(user).await?;
        let is_known = self.knows(actor, user).await?;
        let is_shown = is_known || actor.is_staff || (row.is_active && self.finds_everybody(actor));
        if !is_shown {
            return Err(ChatError::NotFound(Thing::User));
        }
        let presence = match is_known {
            true => Some(self.presence(&row).await),
            false => None,
        };
        Ok(Account::of(row, presence))
    }

    /// The user of exactly this name: whoever knows it may talk to them.
    pub async fn named(&self, username: &str) -> Result<UserId, ChatError> {
        let row = self.core.account_named(username).await?;
        let row = row.filter(|row| !is_deleted(row));
        Ok(row.ok_or(ChatError::NotFound(Thing::User))?.id)
    }

    /// Changes one's own account. Field errors are `ChatError::Invalid`, all of them at once.
    pub async fn update(&self, actor: &Actor, patch: UserPatch) -> Result<Account, Vec<ChatError>> {
        let Changed { row, .. } = self.accounts.rename(actor.id(), patch).await?;
        self.revocations.change_account(row.clone());
        let presence = self.presence(&row).await;
        Ok(Account::of(row, Some(presence)))
    }

    /// Changes an account, as staff.
    pub async fn update_as_staff(
        &self,
        actor: &Actor,
        user: UserId,
        patch: StaffPatch,
    ) -> Result<Account, ChatError> {
        if !actor.is_staff {
            return Err(ChatError::Forbidden("only staff change others' accounts"));
        }
        let row = self.row(user).await?;
        let ends = patch.is_active == Some(false) && row.is_active;
        let changed = self
            .accounts
            .set_standing(row, patch.is_staff, patch.is_active)
            .await?;
        match ends {
            true => self.end_sign_ins(&changed),
            false => self.revocations.change_account(changed.row.clone()),
        }
        let is_known = self.knows(actor, user).await?;
        let presence = match is_known {
            true => Some(self.presence(&changed.row).await),
            false => None,
        };
        Ok(Account::of(changed.row, presence))
    }

    /// Ends one's own account: sessions and sockets end, names and e-mail are emptied, memberships end with the events
    /// of leaving, messages stay.
    pub async fn delete(&self, actor: &Actor) -> Result<(), ChatError> {
        // First what may fail halfway: as long as the account is there, its owner can ask again.
        self.core.leave_all(actor).await?;
        let avatar = self.row(actor.id()).await?.avatar;
        let changed = self.accounts.empty(actor.id()).await?;
        self.end_sign_ins(&changed);
        if let Some(hash) = avatar {
            self.avatars.remove(actor.id(), &hash).await;
        }
        // Others may have added the account to a chat meanwhile.
        if let Err(error) = self.core.leave_all(actor).await {
            let user = actor.id();
            warn!(%user, "user {user} was deleted and may still be a member of a chat: {error}");
        }
        Ok(())
    }

    /// Blocks a user: they can't open a personal chat with the caller, add them to a group, or send in theirs.
    pub async fn block(&self, actor: &Actor, user: UserId) -> Result<(), ChatError> {
        if user == actor.id() {
            let reason = "You cannot block yourself.";
            return Err(ChatError::invalid("non_field_errors", reason));
        }
        self.row(user).await?;
        Ok(self.core.store.insert_block(actor.id(), user).await?)
    }

    /// Unblocks a user.
    pub async fn unblock(&self, actor: &Actor, user: UserId) -> Result<(), ChatError> {
        self.row(user).await?;
        Ok(self.core.store.delete_block(actor.id(), user).await?)
    }

    /// Several users, as everybody may know them.
    pub async fn profiles(
        &self,
        users: impl IntoIterator<Item = UserId>,
    ) -> Result<HashMap<UserId, Arc<Profile>>, ChatError> {
        Ok(self.core.people.profiles(users).await?)
    }

    /// A user's last socket closed. Written with the next [`write_seen`](Self::write_seen).
    pub fn seen(&self, user: UserId, at: Time) {
        let mut seen = self.seen.lock();
        let known = seen.entry(user).or_insert(at);
        *known = at.max(*known);
    }

    /// Writes down who was last seen when: with each sweep, and at the end.
    pub async fn write_seen(&self) -> Result<(), ChatError> {
        let seen: Vec<(UserId, Time)> = self.seen.lock().iter().map(|(&u, &at)| (u, at)).collect();
        for some in seen.chunks(SEEN_AT_ONCE) {
            self.core.store.write_last_seen(some).await?;
            let mut seen = self.seen.lock();
            for (user, at) in some {
                if seen.get(user) == Some(at) {
                    seen.remove(user);
                }
            }
        }
        Ok(())
    }

    fn end_sign_ins(&self, changed: &Changed) {
        self.revocations
            .end_sign_ins(changed.row.clone(), &changed.ended, changed.at);
    }

    fn finds_everybody(&self, actor: &Actor) -> bool {
        actor.is_staff || self.rules.directory == Directory::Open
    }

    /// Whether the caller may know when somebody is there: people who share a chat.
    async fn knows(&self, actor: &Actor, user: UserId) -> Result<bool, ChatError> {
        if actor.id() == user {
            return Ok(true);
        }
        let store = &self.core.store;
        let shares = store.who_shares_a_chat(actor.id(), &[user]).await?;
        Ok(shares.contains(&user))
    }

    async fn presence(&self, row: &user::Model) -> Presence {
        let online = self.online([row.id]).await;
        self.seen_at(row, online.contains(&row.id))
    }

    fn seen_at(&self, row: &user::Model, is_online: bool) -> Presence {
        let seen = self.seen.lock().get(&row.id).copied();
        (is_online, seen.max(row.last_seen))
    }

    /// Who of these has a socket open, at whatever node; at this one, while the others can't be asked.
    async fn online(&self, users: impl IntoIterator<Item = UserId>) -> HashSet<UserId> {
        let (here, others): (Vec<_>, Vec<_>) =
            users.into_iter().partition(|user| (self.is_here)(*user));
        let mut online: HashSet<_> = here.into_iter().collect();
        let lease = &self.core.lease;
        if lease.is_shared()
            && !others.is_empty()
            && let Ok(found) = lease.online(&others).await
        {
            let found = others.into_iter().zip(found);
            online.extend(found.filter_map(|(user, is_online)| is_online.then_some(user)));
        }
        online
    }

    /// The caller's account with another picture.
    pub(super) async fn put_avatar(
        &self,
        actor: &Actor,
        hash: Option<String>,
    ) -> Result<Account, ChatError> {
        let Changed { row, .. } = self.accounts.set_avatar(actor.id(), hash).await?;
        self.revocations.change_account(row.clone());
        let presence = self.presence(&row).await;
        Ok(Account::of(row, Some(presence)))
    }

    /// An account that wasn't deleted.
    pub(super) async fn row(&self, user: UserId) -> Result<user::Model, ChatError> {
        let row = self.core.accounts(&[user]).await?.pop();
        row.filter(|row| !is_deleted(row))
            .ok_or(ChatError::NotFound(Thing::User))
    }
}

#[cfg(test)]
mod tests;
