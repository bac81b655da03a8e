//! What all topics of the domain share.

use std::{sync::Arc, time::Duration};

use entity::{SessionId, Time, UserId, user};

use crate::{
    chat::{
        ChatError, Limits, Publish, attachments::Files, django::Django, people::People,
        writer::Writer,
    },
    lease::{CommonWindows, Lease, Windows},
    store::{AccountChange, DjangoBlacklist, Store, Stored, database_time},
};

/// The last minute's sends are read by so many, and no further than so many times: a service that took more than
/// that in a minute has its limit off, or as many users.
const REMEMBERED_AT_ONCE: u64 = 5000;
const REMEMBERED_PAGES: usize = 200;

/// The window in which sends are counted.
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
/// Each reads all that somebody said.
const EXPORTS_PER_HOUR: u32 = 5;

/// The store, the writer, who users are, and what is limited.
pub(crate) struct Core {
    pub(crate) store: Store,
    pub(crate) writer: Writer,
    pub(crate) people: Arc<People>,
    /// The project that owns the accounts, where one does.
    pub(crate) django: Option<Arc<Django>>,
    /// Refresh tokens that a Django project has blacklisted, where its tables are known.
    pub(crate) blacklist: Option<DjangoBlacklist>,
    pub(crate) limits: Limits,
    /// Where the writer's events go; and those of chats that are made, which take no number.
    pub(crate) publish: Arc<dyn Publish>,
    /// Accepted sends.
    pub(crate) sends: Windows<UserId>,
    /// Edits, deletions and reactions.
    pub(crate) changes: Windows<UserId>,
    /// Files of messages.
    pub(crate) files: Arc<Files>,
    /// Searches.
    pub(crate) searches: Windows<UserId>,
    /// Exports of accounts.
    pub(crate) exports: Windows<UserId>,
    /// New rooms.
    pub(crate) rooms: Windows<UserId>,
    /// What the nodes hold in common.
    pub(crate) lease: Arc<dyn Lease>,
    /// Makes what is counted over all nodes.
    pub(crate) common: CommonWindows,
}

impl Core {
    pub(crate) fn new(
        store: Store,
        writer: Writer,
        people: Arc<People>,
        limits: Limits,
        publish: Arc<dyn Publish>,
        lease: Arc<dyn Lease>,
        files: Arc<Files>,
    ) -> Self {
        let common = CommonWindows::new(lease.clone());
        Core {
            sends: common.windows("sends", limits.messages_per_minute, MINUTE),
            changes: common.windows("changes", limits.changes_per_minute, MINUTE),
            searches: common.windows("searches", limits.searches_per_minute, MINUTE),
            exports: common.windows("exports", EXPORTS_PER_HOUR, HOUR),
            rooms: common.windows("rooms", limits.rooms_per_hour, HOUR),
            common,
            lease,
            files,
            store,
            writer,
            people,
            django: None,
            blacklist: None,
            limits,
            publish,
        }
    }

    /// Accounts by their numbers; of a Django beside us, copies that are fresh enough.
    pub(crate) async fn accounts(&self, users: &[UserId]) -> Stored<Vec<user::Model>> {
        if let Some(django) = &self.django {
            django.refresh(users).await?;
        }
        self.store.find_users(users).await
    }

    /// The account of this exact name, as it is now.
    pub(crate) async fn account_named(&self, username: &str) -> Stored<Option<user::Model>> {
        // Nobody's, and PostgreSQL doesn't even take the question.
        if username.contains('\0') {
            return Ok(None);
        }
        match &self.django {
            Some(django) => django.find_by_name(username).await,
            None => self.store.find_user_by_name(username).await,
        }
    }

    /// Changes an account, at its owner's first.
    pub(crate) async fn change_account(
        &self,
        user: UserId,
        change: AccountChange,
        at: Time,
    ) -> Stored<Option<(user::Model, Vec<SessionId>)>> {
        match &self.django {
            Some(django) => django.change(user, change, at).await,
            None => self.store.change_account(user, change, at).await,
        }
    }

    /// Reads the windows of sends from the last minute's messages, newest first.
    pub(crate) async fn remember_sends(&self) -> Result<(), ChatError> {
        let now = database_time();
        let mut below = i64::MAX;
        for _ in 0..REMEMBERED_PAGES {
            let sends = self.store.recent_sends(below, REMEMBERED_AT_ONCE).await?;
            for (id, sender, at) in &sends {
                let ago = (now - *at).to_std().unwrap_or_default();
                if ago >= MINUTE {
                    return Ok(());
                }
                self.sends.remember(sender, ago);
                below = *id;
            }
            if (sends.len() as u64) < REMEMBERED_AT_ONCE {
                return Ok(());
            }
        }
        Ok(())
    }
}
