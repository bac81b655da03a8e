//! Who users are, kept in memory: profiles for messages, and what an access token is checked against.
//!
//! Relies on: every change of an account raises its `changed_at`; this node's own changes are put here at once,
//! other nodes' by the sweep.
//! Bounded by: `PEOPLE_MAX`; beyond it a shard forgets half of what it holds.

use std::{collections::HashMap, sync::Arc};

use entity::{Time, UserId, user};
use parking_lot::RwLock;

use crate::{
    chat::Profile,
    store::{Store, Stored},
};

/// Users held in memory, over all shards.
const PEOPLE_MAX: usize = 262_144;
const SHARDS: usize = 32;

/// An account as far as every operation needs it.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) profile: Arc<Profile>,
    pub(crate) is_staff: bool,
    pub(crate) is_active: bool,
    /// Its names and password were emptied.
    pub(crate) is_deleted: bool,
    pub(crate) tokens_valid_after: Option<Time>,
}

impl From<user::Model> for Person {
    fn from(row: user::Model) -> Self {
        let is_deleted = is_deleted(&row);
        let profile = Profile {
            id: row.id,
            username: row.username,
            first_name: row.first_name,
            last_name: row.last_name,
        };
        Person {
            profile: Arc::new(profile),
            is_staff: row.is_staff,
            is_active: row.is_active,
            is_deleted,
            tokens_valid_after: row.tokens_valid_after,
        }
    }
}

/// The users that this node has met.
#[derive(Debug)]
pub(crate) struct People {
    store: Store,
    shards: Vec<RwLock<HashMap<UserId, Person>>>,
}

impl People {
    pub(crate) fn new(store: Store) -> Self {
        People {
            store,
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
        }
    }

    /// One user, or none where there is no such account.
    pub(crate) async fn find(&self, user: UserId) -> Stored<Option<Person>> {
        if let Some(person) = self.known(user) {
            return Ok(Some(person));
        }
        // As a rule it is known: who asks needs no room for the query.
        let row = Box::pin(self.store.find_users(&[user])).await?.pop();
        Ok(row.map(|row| self.put(row)))
    }

    /// The profiles of several users; one query for those not known. Users that are gone get an empty name.
    pub(crate) async fn profiles(
        &self,
        users: impl IntoIterator<Item = UserId>,
    ) -> Stored<HashMap<UserId, Arc<Profile>>> {
        let mut found = HashMap::new();
        let mut missing = Vec::new();
        for user in users {
            if found.contains_key(&user) || missing.contains(&user) {
                continue;
            }
            match self.known(user) {
                Some(person) => drop(found.insert(user, person.profile)),
                None => missing.push(user),
            }
        }
        if !missing.is_empty() {
            for row in self.store.find_users(&missing).await? {
                found.insert(row.id, self.put(row).profile);
            }
            for user in missing {
                found.entry(user).or_insert_with(|| nobody(user));
            }
        }
        Ok(found)
    }

    /// One user's profile.
    pub(crate) async fn profile(&self, user: UserId) -> Stored<Arc<Profile>> {
        Ok(self
            .find(user)
            .await?
            .map_or_else(|| nobody(user), |person| person.profile))
    }

    /// Puts an account's present state in the place of what was known.
    pub(crate) fn put(&self, row: user::Model) -> Person {
        let id = row.id;
        let person = Person::from(row);
        let mut shard = self.shard(id).write();
        if shard.len() >= PEOPLE_MAX / SHARDS {
            let mut keep = false;
            shard.retain(|_, _| {
                keep = !keep;
                keep
            });
        }
        shard.insert(id, person.clone());
        person
    }

    /// Replaces what is known of a user, if they are known.
    pub(crate) fn refresh(&self, row: user::Model) {
        if let Some(person) = self.shard(row.id).write().get_mut(&row.id) {
            *person = Person::from(row);
        }
    }

    fn known(&self, user: UserId) -> Option<Person> {
        self.shard(user).read().get(&user).cloned()
    }

    fn shard(&self, user: UserId) -> &RwLock<HashMap<UserId, Person>> {
        &self.shards[(user.0 as usize) % SHARDS]
    }
}

/// Whether an account was ended by its owner. An account that can't sign in by password has `!` stored instead.
pub(crate) fn is_deleted(row: &user::Model) -> bool {
    !row.is_active && row.password.is_empty()
}

fn nobody(user: UserId) -> Arc<Profile> {
    Arc::new(Profile {
        id: user,
        username: String::new(),
        first_name: String::new(),
        last_name: String::new(),
    })
}
