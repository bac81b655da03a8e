//! Accounts: copied with their numbers, by which tokens and messages name them.

use std::collections::{HashMap, HashSet};

use entity::{UserId, user};
use futures_util::TryStreamExt;

use super::{
    Failure, Work,
    mapping::{Reader, UsersTable},
    report::Counts,
};
use crate::{
    chat::folded_name,
    store::{AccountKeys, boolean, database_time, moment},
};

/// Rows of one transaction.
const ROWS_AT_ONCE: usize = 1000;
/// Characters of the columns that hold keys.
const KEY_CHARS: usize = 300;

/// The accounts that there are, once those of the project are copied.
pub(super) struct People {
    names: HashMap<UserId, String>,
    pub(super) first: Option<UserId>,
}

impl People {
    /// The account of this key, if there is one.
    pub(super) fn find(&self, key: &str) -> Option<UserId> {
        let id = UserId(key.parse().ok()?);
        self.names.contains_key(&id).then_some(id)
    }

    pub(super) fn name(&self, id: UserId) -> &str {
        self.names.get(&id).map_or("", String::as_str)
    }
}

/// What is unique here.
struct Known {
    accounts: HashMap<UserId, String>,
    names: HashSet<String>,
    username_keys: HashSet<String>,
    email_keys: HashSet<String>,
}

impl Known {
    fn of(keys: Vec<AccountKeys>) -> Self {
        Known {
            names: keys.iter().map(|keys| keys.username.clone()).collect(),
            username_keys: keys
                .iter()
                .filter_map(|keys| keys.username_key.clone())
                .collect(),
            email_keys: keys
                .iter()
                .filter_map(|keys| keys.email_key.clone())
                .collect(),
            accounts: keys
                .into_iter()
                .map(|keys| (keys.id, keys.username))
                .collect(),
        }
    }
}

pub(super) async fn import(work: &mut Work, table: &UsersTable) -> Result<People, Failure> {
    let mut reader = Reader::of(&table.table);
    let id = reader.column(&table.id);
    let username = reader.field(&table.username);
    let password = reader.field(&table.password);
    let email = reader.optional(&table.email);
    let first_name = reader.optional(&table.first_name);
    let last_name = reader.optional(&table.last_name);
    let is_staff = reader.optional(&table.is_staff);
    let is_active = reader.optional(&table.is_active);
    let date_joined = reader.optional(&table.date_joined);
    let last_login = reader.optional(&table.last_login);

    let keys = match work.is_ready {
        true => work.to.account_keys().await?,
        false => Vec::new(),
    };
    let mut known = Known::of(keys);
    let bar = work.bar(&table.table).await?;
    let now = database_time();
    let (mut counts, mut batch) = (Counts::default(), Vec::new());
    let from = work.from.clone();
    let mut rows = std::pin::pin!(from.stream(&reader.columns, &[&table.id]).await?);
    while let Some(row) = rows.try_next().await? {
        counts.read += 1;
        bar.inc(1);
        let text = |place: &super::mapping::Place| place.of(&row).unwrap_or_default().to_owned();
        let key = row[id].as_deref().unwrap_or_default();
        let id = key.parse().map(UserId).map_err(|_| {
            format!(
                "{}: the key {key:?} is no whole number, and tokens name users by one",
                table.table
            )
        })?;
        let name = text(&username);
        match known.accounts.get(&id) {
            Some(here) if *here == name => {
                counts.known += 1;
                continue;
            }
            Some(here) => {
                return Err(format!(
                    "user {id} is {here:?} here and {name:?} there: import into a database without other users"
                )
                .into());
            }
            None if known.names.contains(&name) => {
                return Err(format!(
                    "{name:?} has another id here than there ({id}): import into a database without other users"
                )
                .into());
            }
            None => {}
        }
        let mail = text(&email);
        let unique = |key: String, taken: &mut HashSet<String>| {
            let is_free = key.chars().count() <= KEY_CHARS && taken.insert(key.clone());
            is_free.then_some(key)
        };
        let username_key = unique(folded_name(&name), &mut known.username_keys);
        if username_key.is_none() {
            let remark = "user names differ from another one only in case or form, and are kept";
            work.report.remark(remark, name.clone());
        }
        let email_key = match mail.is_empty() {
            true => None,
            false => unique(folded_name(&mail), &mut known.email_keys),
        };
        if email_key.is_none() && !mail.is_empty() {
            let remark = "e-mail addresses belong to several accounts, and are kept";
            work.report.remark(remark, mail.clone());
        }
        known.names.insert(name.clone());
        known.accounts.insert(id, name.clone());
        batch.push(user::Model {
            id,
            username: name,
            username_key,
            password: text(&password),
            email: mail,
            email_key,
            first_name: text(&first_name),
            last_name: text(&last_name),
            is_staff: is_staff.of(&row).and_then(boolean).unwrap_or(false),
            is_active: is_active.of(&row).and_then(boolean).unwrap_or(true),
            avatar: None,
            date_joined: date_joined.of(&row).and_then(moment).unwrap_or(now),
            last_login: last_login.of(&row).and_then(moment),
            last_seen: None,
            tokens_valid_after: None,
            changed_at: now,
        });
        counts.new += 1;
        if batch.len() == ROWS_AT_ONCE && work.writes {
            work.to.import_accounts(std::mem::take(&mut batch)).await?;
        }
    }
    if work.writes {
        work.to.import_accounts(batch).await?;
    }
    bar.finish_and_clear();
    work.report.table("users", &table.table, counts);
    let names = known.accounts;
    let first = names.keys().copied().min();
    Ok(People { names, first })
}
