//! Accounts: copied with their numbers, by which tokens and messages name them.

use std::collections::{BTreeMap, HashMap, HashSet};

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
    /// Addresses that another account had when theirs was read, which may have given it up since.
    without_key: Vec<(UserId, String)>,
    /// Who may sign in here and wasn't met there yet.
    here_alone: BTreeMap<UserId, String>,
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
            without_key: Vec::new(),
            here_alone: keys
                .iter()
                .filter(|keys| keys.is_active)
                .map(|keys| (keys.id, keys.username.clone()))
                .collect(),
            accounts: keys
                .into_iter()
                .map(|keys| (keys.id, keys.username))
                .collect(),
        }
    }

    /// The key of an address, unless another account has it.
    fn email_key(&mut self, user: UserId, email: &str) -> Option<String> {
        if email.is_empty() {
            return None;
        }
        let key = unique(folded_name(email), &mut self.email_keys);
        if key.is_none() {
            self.without_key.push((user, email.to_owned()));
        }
        key
    }

    /// The keys of addresses that were given up in the meantime; what belongs to several accounts is reported.
    fn late_email_keys(&mut self, work: &mut Work) -> Vec<(UserId, String)> {
        let mut keys = Vec::new();
        for (user, email) in std::mem::take(&mut self.without_key) {
            match unique(folded_name(&email), &mut self.email_keys) {
                Some(key) => keys.push((user, key)),
                None => {
                    let remark = "e-mail addresses belong to several accounts, and are kept";
                    work.report.remark(remark, email);
                }
            }
        }
        keys
    }
}

fn unique(key: String, taken: &mut HashSet<String>) -> Option<String> {
    let is_free = key.chars().count() <= KEY_CHARS && taken.insert(key.clone());
    is_free.then_some(key)
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
    let mut counts = Counts::default();
    let (mut batch, mut again) = (Vec::new(), Vec::new());
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
        let joined = date_joined.of(&row).and_then(moment).unwrap_or(now);
        let mut account = user::Model {
            id,
            username: name.clone(),
            username_key: None,
            password: text(&password),
            email: text(&email),
            email_key: None,
            first_name: text(&first_name),
            last_name: text(&last_name),
            is_staff: is_staff.of(&row).and_then(boolean).unwrap_or(false),
            is_active: is_active.of(&row).and_then(boolean).unwrap_or(true),
            avatar: None,
            date_joined: joined,
            last_login: last_login.of(&row).and_then(moment),
            last_seen: None,
            tokens_valid_after: None,
            // As of whoever registers here: any change raises it, by which the next import tells what it may write.
            changed_at: joined,
        };
        known.here_alone.remove(&id);
        match known.accounts.get(&id) {
            Some(here) if *here == name => {
                counts.known += 1;
                again.push(account);
                if again.len() == ROWS_AT_ONCE {
                    let some = std::mem::take(&mut again);
                    renew(work, table, &mut known, some, &mut counts).await?;
                }
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
        // First those who are here: they may have given up an address that this one has.
        let some = std::mem::take(&mut again);
        renew(work, table, &mut known, some, &mut counts).await?;
        account.username_key = unique(folded_name(&name), &mut known.username_keys);
        if account.username_key.is_none() {
            let remark = "user names differ from another one only in case or form, and are kept";
            work.report.remark(remark, name.clone());
        }
        account.email_key = known.email_key(id, &account.email);
        known.names.insert(name.clone());
        known.accounts.insert(id, name);
        batch.push(account);
        counts.new += 1;
        if batch.len() == ROWS_AT_ONCE && work.writes {
            work.to.import_accounts(std::mem::take(&mut batch)).await?;
        }
    }
    renew(work, table, &mut known, again, &mut counts).await?;
    let late = known.late_email_keys(work);
    if work.writes {
        work.to.import_accounts(batch).await?;
        work.to.import_email_keys(late).await?;
    }
    for name in std::mem::take(&mut known.here_alone).into_values() {
        let remark = "accounts can sign in here and aren't there: ended there, or made here";
        work.report.difference(remark, name);
    }
    bar.finish_and_clear();
    work.report.table("users", &table.table, counts);
    let names = known.accounts;
    let first = names.keys().copied().min();
    Ok(People { names, first })
}

/// Writes anew what accounts that are here have there. Those that were used here since they were copied are left, and
/// reported where they differ: which of the two is right, only people know.
async fn renew(
    work: &mut Work,
    table: &UsersTable,
    known: &mut Known,
    accounts: Vec<user::Model>,
    counts: &mut Counts,
) -> Result<(), Failure> {
    if accounts.is_empty() {
        return Ok(());
    }
    let ids = accounts.iter().map(|there| there.id).collect();
    let (mut here, signed_in) = work.to.accounts_with_sessions(ids).await?;
    let mut renewed = Vec::new();
    for mut there in accounts {
        let Some(here) = here.remove(&there.id) else {
            continue;
        };
        let what = differences(table, &here, &there);
        if what.is_empty() {
            continue;
        }
        if signed_in.contains(&there.id) || !is_untouched(&here, &there) {
            let remark =
                "accounts differ from there and are left as they are, since they were used here";
            let row = format!("{}: {}", there.username, what.join(", "));
            work.report.difference(remark, row);
            continue;
        }
        there.email_key = match there.email == here.email {
            true => here.email_key,
            false => {
                if let Some(key) = &here.email_key {
                    known.email_keys.remove(key);
                }
                known.email_key(there.id, &there.email)
            }
        };
        renewed.push(there);
    }
    counts.renewed += renewed.len() as u64;
    if work.writes && !renewed.is_empty() {
        work.to.import_accounts_again(renewed).await?;
    }
    Ok(())
}

/// What an account has otherwise there, of what the mapping tells; never how.
fn differences(table: &UsersTable, here: &user::Model, there: &user::Model) -> Vec<&'static str> {
    let told = [
        (true, here.password != there.password, "password"),
        (table.email.is_some(), here.email != there.email, "email"),
        (
            table.first_name.is_some(),
            here.first_name != there.first_name,
            "first_name",
        ),
        (
            table.last_name.is_some(),
            here.last_name != there.last_name,
            "last_name",
        ),
        (
            table.is_staff.is_some(),
            here.is_staff != there.is_staff,
            "is_staff",
        ),
        (
            table.is_active.is_some(),
            here.is_active != there.is_active,
            "is_active",
        ),
    ];
    let told = told.into_iter();
    told.filter(|(is_told, differs, _)| *is_told && *differs)
        .map(|(_, _, name)| name)
        .collect()
}

/// Whether nobody used an account here since it was copied: it was changed no later than made, that at the moment when
/// it was there, and nobody signed in later than there. Where the mapping doesn't tell `date_joined`, it can't be told.
fn is_untouched(here: &user::Model, there: &user::Model) -> bool {
    here.changed_at == here.date_joined
        && here.date_joined == there.date_joined
        && here.last_login <= there.last_login
        && here.last_seen.is_none()
        && here.tokens_valid_after.is_none()
        && here.avatar.is_none()
}
