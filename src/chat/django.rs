//! Accounts that a Django project owns: `user` holds a copy of each, so that everything else here is as it is without
//! a Django beside it.
//!
//! Django's table is the one that counts. It is asked when somebody signs in, and else where the copy is older than
//! `FRESH_FOR`; for those who have a socket open, and for new accounts, by a task. A difference is written into the
//! copy, and what it means follows: another password, or a deactivation, ends all sign-ins. What is changed here is
//! written there first.
//!
//! Bounded by: `CHECKED_MAX` moments of a look; beyond it all are forgotten, which costs a query each.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use entity::{SessionId, Time, UserId, user};
use parking_lot::Mutex;
use tracing::{info, warn};

use crate::{
    auth::{DjangoSession, DjangoSessions, SessionCookie},
    chat::{names::folded, people::is_deleted, revoked::Revocations},
    store::{
        AccountChange, DjangoAccount, DjangoTables, Keyed, NewAccountRow, Store, StoreError,
        Stored, database_time,
    },
};

/// How old a copy may be that is gone by.
const FRESH_FOR: Duration = Duration::from_secs(30);
/// The task looks at those who are connected so often; with a look's own time it stays below `FRESH_FOR`.
pub const LOOK_EVERY: Duration = Duration::from_secs(10);
const CHECKED_MAX: usize = 262_144;
/// Accounts that are read at once.
const AT_ONCE: usize = 1000;

/// The project beside us.
pub(crate) struct Django {
    store: Store,
    tables: DjangoTables,
    sessions: DjangoSessions,
    revocations: Arc<Revocations>,
    /// When an account was last compared.
    checked: Mutex<HashMap<UserId, Instant>>,
    /// Accounts that somebody changes, and how many do.
    changing: Mutex<HashMap<UserId, usize>>,
    /// How far the look through all accounts has come, and the highest number seen.
    walked: Mutex<(UserId, UserId)>,
}

/// What a project beside us is reached and read with.
pub struct BesideDjango {
    /// Its tables.
    pub tables: DjangoTables,
    /// Its session cookies.
    pub sessions: DjangoSessions,
}

impl Django {
    pub(crate) fn new(beside: BesideDjango, store: Store, revocations: Arc<Revocations>) -> Self {
        let BesideDjango { tables, sessions } = beside;
        Django {
            store,
            tables,
            sessions,
            revocations,
            checked: Mutex::default(),
            changing: Mutex::default(),
            walked: Mutex::new((UserId(0), UserId(0))),
        }
    }

    /// Copies all accounts, once, at a start.
    pub(crate) async fn load(&self) -> Stored<()> {
        let (mut after, mut count) = (UserId(0), 0);
        loop {
            let page = self.tables.after(after, AT_ONCE as u64).await?;
            let Some(until) = page.until else { break };
            let begun_after = std::mem::replace(&mut after, until);
            count += page.accounts.len();
            let asked = self.store.accounts_between(begun_after, after).await?;
            self.compare(page.accounts, asked).await?;
        }
        let gone = self.store.accounts_between(after, UserId(i64::MAX)).await?;
        self.compare(Vec::new(), gone).await?;
        self.walked.lock().1 = after;
        info!(accounts = count, "{count} accounts of Django are known");
        Ok(())
    }

    /// What the task does every `LOOK_EVERY`: those who are connected, new accounts, and some more of all.
    pub(crate) async fn look(&self, connected: &[UserId]) -> Stored<()> {
        for some in connected.chunks(AT_ONCE) {
            self.refresh_older(some, FRESH_FOR / 3).await?;
        }
        let (walked, highest) = *self.walked.lock();
        let new = self.tables.after(highest, AT_ONCE as u64).await?;
        if let Some(until) = new.until {
            self.walked.lock().1 = until;
            self.compare(new.accounts, Vec::new()).await?;
        }
        let page = self.tables.after(walked, AT_ONCE as u64).await?;
        let until = page.until.filter(|_| !page.is_last);
        let asked = self
            .store
            .accounts_between(walked, until.unwrap_or(UserId(i64::MAX)))
            .await?;
        self.compare(page.accounts, asked).await?;
        self.walked.lock().0 = until.unwrap_or(UserId(0));
        Ok(())
    }

    /// Brings the copies of these accounts up to date where they are older than `FRESH_FOR`.
    pub(crate) async fn refresh(&self, users: &[UserId]) -> Stored<()> {
        self.refresh_older(users, FRESH_FOR).await
    }

    async fn refresh_older(&self, users: &[UserId], age: Duration) -> Stored<()> {
        let stale: Vec<UserId> = {
            let checked = self.checked.lock();
            let is_stale = |user: &&UserId| checked.get(*user).is_none_or(|at| at.elapsed() >= age);
            users.iter().filter(is_stale).copied().collect()
        };
        if stale.is_empty() {
            return Ok(());
        }
        let there = self.tables.find(&stale).await?;
        let here = self.store.find_users(&stale).await?;
        self.compare(there, here).await
    }

    /// The account of this exact name, as it is there now.
    pub(crate) async fn find_by_name(&self, username: &str) -> Stored<Option<user::Model>> {
        let Some(account) = self.tables.find_by_name(username).await? else {
            return Ok(None);
        };
        let id = account.id;
        let here = self.store.find_users(&[id]).await?;
        self.compare(vec![account], here).await?;
        Ok(self.store.find_users(&[id]).await?.pop())
    }

    /// Makes an account there, and its copy.
    pub(crate) async fn insert(&self, row: &NewAccountRow) -> Stored<user::Model> {
        let inserted = self.tables.insert(row).await;
        let name = &row.username.text;
        let copy = self.find_by_name(name).await;
        // A name that was taken has its copy now, so that whoever asks why finds it.
        inserted?;
        copy?.ok_or_else(|| StoreError::Refused(format!("{name} was made and is not there").into()))
    }

    /// Changes an account there, then its copy. None where there is no such account, or its password is another by now.
    pub(crate) async fn change(
        &self,
        user: UserId,
        change: AccountChange,
        at: Time,
    ) -> Stored<Option<(user::Model, Vec<SessionId>)>> {
        let _changing = Changing::begin(self, user);
        if !self.tables.change(user, &change).await? {
            return Ok(None);
        }
        self.store.change_account(user, change, at).await
    }

    /// The account that a session cookie signs in, and until when: one that is active and still has the password
    /// with which the session began.
    pub(crate) async fn by_cookie(
        &self,
        cookie: &str,
        now: Time,
    ) -> Stored<Option<(user::Model, Time)>> {
        let (session, until) = match self.sessions.cookie(cookie, now) {
            Some(SessionCookie::Session(session, until)) => (session, until),
            Some(SessionCookie::Key(key)) => match self.session_of_row(&key, now).await? {
                Some(found) => found,
                None => return Ok(None),
            },
            None => return Ok(None),
        };
        let Ok(id) = session.user_id.parse().map(UserId) else {
            return Ok(None);
        };
        // The copy may be older than the password that the session began with.
        for age in [FRESH_FOR, Duration::ZERO] {
            self.refresh_older(&[id], age).await?;
            let row = self.store.find_users(&[id]).await?.pop();
            let is_theirs =
                |row: &user::Model| self.sessions.is_of_password(&session, &row.password);
            if let Some(row) = row.filter(is_theirs) {
                return Ok(Some((row, until)));
            }
        }
        Ok(None)
    }

    async fn session_of_row(&self, key: &str, now: Time) -> Stored<Option<(DjangoSession, Time)>> {
        let row = self
            .tables
            .session(key)
            .await?
            .filter(|(_, until)| *until > now);
        Ok(row.and_then(|(data, until)| Some((self.sessions.row(&data)?, until))))
    }

    /// Writes what is other there into the copies. `here` are the copies of all accounts that were asked for.
    async fn compare(&self, there: Vec<DjangoAccount>, here: Vec<user::Model>) -> Stored<()> {
        let mut copies: HashMap<UserId, user::Model> =
            here.into_iter().map(|row| (row.id, row)).collect();
        let (mut new, mut differs) = (Vec::new(), Vec::new());
        for account in there {
            match copies.remove(&account.id) {
                None => new.push(account),
                Some(row) if is_same(&account, &row) => self.note_checked(account.id),
                Some(row) => differs.push(row.id),
            }
        }
        differs.extend(
            copies
                .into_values()
                .filter(|row| !is_deleted(row))
                .map(|row| row.id),
        );
        self.copy_all(new).await?;
        self.settle(differs).await
    }

    /// Once more, copies first: what was changed between the two looks is no difference.
    async fn settle(&self, users: Vec<UserId>) -> Stored<()> {
        if users.is_empty() {
            return Ok(());
        }
        let here = self.store.find_users(&users).await?;
        let there = self.tables.find(&users).await?;
        let mut there: HashMap<UserId, DjangoAccount> = there
            .into_iter()
            .map(|account| (account.id, account))
            .collect();
        for row in here {
            let id = row.id;
            // Whoever changes it writes the copy, too.
            if self.changing.lock().contains_key(&id) {
                continue;
            }
            match there.remove(&id) {
                Some(account) if is_same(&account, &row) => {}
                Some(account) => self.update(account, row).await?,
                None if is_deleted(&row) => {}
                None => self.forget(id).await?,
            }
            self.note_checked(id);
        }
        Ok(())
    }

    async fn copy_all(&self, accounts: Vec<DjangoAccount>) -> Stored<()> {
        let mut rows: Vec<user::Model> = accounts.into_iter().map(copy_of).collect();
        if rows.is_empty() {
            return Ok(());
        }
        let keys = |key: fn(&user::Model) -> Option<String>| rows.iter().filter_map(key).collect();
        let usernames = keys(|row| row.username_key.clone());
        let emails = keys(|row| row.email_key.clone());
        let (mut usernames, mut emails) = self.store.taken_keys(usernames, emails).await?;
        for row in &mut rows {
            row.username_key = row
                .username_key
                .take()
                .filter(|key| usernames.insert(key.clone()));
            row.email_key = row
                .email_key
                .take()
                .filter(|key| emails.insert(key.clone()));
            self.note_checked(row.id);
        }
        match self.store.import_accounts(rows.clone()).await {
            Err(StoreError::Duplicate(_)) => {
                for row in rows {
                    self.copy(row).await?;
                }
                Ok(())
            }
            copied => copied,
        }
    }

    async fn copy(&self, row: user::Model) -> Stored<()> {
        match self.store.import_accounts(vec![row.clone()]).await {
            Err(StoreError::Duplicate(_)) => {
                // Another node was faster; or the name, or its key, has become another's.
                if !self.store.find_users(&[row.id]).await?.is_empty() {
                    return Ok(());
                }
                self.free(&row.username, row.id).await?;
                let without_keys = user::Model {
                    username_key: None,
                    email_key: None,
                    ..row
                };
                self.store.import_accounts(vec![without_keys]).await
            }
            copied => copied,
        }
    }

    async fn update(&self, account: DjangoAccount, row: user::Model) -> Stored<()> {
        let (id, name) = (account.id, account.username.clone());
        let ends = account.password != row.password || (row.is_active && !account.is_active);
        let change = AccountChange {
            username: (account.username != row.username).then(|| Keyed {
                key: Some(folded(&account.username)),
                text: account.username,
            }),
            password: Some(account.password),
            email: (account.email != row.email).then(|| Keyed {
                key: Some(folded(&account.email)).filter(|key| !key.is_empty()),
                text: account.email,
            }),
            first_name: Some(account.first_name),
            last_name: Some(account.last_name),
            is_staff: Some(account.is_staff),
            is_active: Some(account.is_active),
            ends_sign_ins: ends,
            ..AccountChange::default()
        };
        match self.write(id, change.clone()).await {
            Err(StoreError::Duplicate(_)) => {
                self.free(&name, id).await?;
                let without_key = |keyed: Keyed| Keyed { key: None, ..keyed };
                let change = AccountChange {
                    username: change.username.map(without_key),
                    email: change.email.map(without_key),
                    ..change
                };
                self.write(id, change).await
            }
            written => written,
        }
    }

    /// An account that Django has no more: as one that its owner deleted.
    async fn forget(&self, id: UserId) -> Stored<()> {
        let change = AccountChange {
            password: Some(String::new()),
            is_staff: Some(false),
            is_active: Some(false),
            ends_sign_ins: true,
            ..AccountChange::default()
        };
        warn!(user = %id, "user {id}: is no account of Django any more");
        self.write(id, change).await
    }

    /// Takes a name from a copy whose account has another by now, which its next look tells.
    async fn free(&self, username: &str, except: UserId) -> Stored<()> {
        let holder = self.store.find_user_by_name(username).await?;
        let Some(holder) = holder.filter(|row| row.id != except) else {
            return Ok(());
        };
        let moved = AccountChange {
            username: Some(Keyed {
                text: format!("renamed-{}", holder.id),
                key: None,
            }),
            ..AccountChange::default()
        };
        self.write(holder.id, moved).await?;
        self.checked.lock().remove(&holder.id);
        Ok(())
    }

    async fn write(&self, id: UserId, change: AccountChange) -> Stored<()> {
        let (now, ends) = (database_time(), change.ends_sign_ins);
        let changed = self.store.change_account(id, change, now).await?;
        let Some((row, ended)) = changed else {
            return Ok(());
        };
        match ends {
            true => {
                info!(user = %id, "user {id}: Django changed the password or the standing, sign-ins have ended");
                self.revocations.end_sign_ins(row, &ended, now);
            }
            false => self.revocations.change_account(row),
        }
        Ok(())
    }

    fn note_checked(&self, user: UserId) {
        let mut checked = self.checked.lock();
        if checked.len() >= CHECKED_MAX {
            checked.clear();
        }
        checked.insert(user, Instant::now());
    }
}

/// Somebody changes an account, there and here: until both are written they differ.
struct Changing<'a> {
    django: &'a Django,
    user: UserId,
}

impl<'a> Changing<'a> {
    fn begin(django: &'a Django, user: UserId) -> Self {
        *django.changing.lock().entry(user).or_default() += 1;
        Self { django, user }
    }
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        let mut changing = self.django.changing.lock();
        if let Some(count) = changing.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                changing.remove(&self.user);
            }
        }
    }
}

fn copy_of(account: DjangoAccount) -> user::Model {
    let now = database_time();
    user::Model {
        id: account.id,
        username_key: Some(folded(&account.username)),
        email_key: Some(folded(&account.email)).filter(|key| !key.is_empty()),
        username: account.username,
        password: account.password,
        email: account.email,
        first_name: account.first_name,
        last_name: account.last_name,
        is_staff: account.is_staff,
        is_active: account.is_active,
        avatar: None,
        date_joined: account.date_joined.unwrap_or(now),
        last_login: None,
        last_seen: None,
        tokens_valid_after: None,
        changed_at: now,
    }
}

fn is_same(account: &DjangoAccount, row: &user::Model) -> bool {
    account.username == row.username
        && account.password == row.password
        && account.email == row.email
        && account.first_name == row.first_name
        && account.last_name == row.last_name
        && account.is_staff == row.is_staff
        && account.is_active == row.is_active
}
