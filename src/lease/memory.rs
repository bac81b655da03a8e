//! What nodes of one process hold in common. A node that is alone in its town is asked nothing.
//!
//! Bounded by: windows hold no more than their limit a key; owners and people as many as there are. What has run out is
//! dropped when the same key is asked again, and a town lives no longer than its process.

use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use entity::{ChatId, UserId};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::{
    Away, Claim, Grant, Lease, Leased, NODE_SILENT_AFTER, OWNER_EXPIRES, Place, Presence, Rule,
    There,
};

/// After so many replacements in `DUEL_SPAN` whoever has a place stays for `DUEL_HOLD`.
pub(super) const DUEL_REPLACEMENTS: usize = 3;
pub(super) const DUEL_SPAN: Duration = Duration::from_secs(60);
pub(super) const DUEL_HOLD: Duration = Duration::from_secs(30);

/// The nodes of one process.
#[derive(Clone, Debug)]
pub struct MemoryTown {
    held: Arc<Mutex<Held>>,
    nodes: Arc<AtomicUsize>,
    next: Arc<AtomicU64>,
    returns: Arc<watch::Sender<u64>>,
}

impl Default for MemoryTown {
    fn default() -> Self {
        MemoryTown {
            held: Arc::default(),
            nodes: Arc::default(),
            next: Arc::default(),
            returns: Arc::new(watch::Sender::new(1)),
        }
    }
}

type WindowKey = (&'static str, String);
type Taken = VecDeque<(Instant, Arc<str>, u64)>;

#[derive(Debug, Default)]
struct Held {
    windows: HashMap<WindowKey, Taken>,
    owners: HashMap<(ChatId, UserId), Owner>,
    beats: HashMap<Arc<str>, Instant>,
    present: HashMap<ChatId, BTreeSet<(Arc<str>, UserId)>>,
    online: HashMap<Arc<str>, HashSet<UserId>>,
    is_away: bool,
}

#[derive(Debug, Default)]
struct Owner {
    number: u64,
    until: Option<Instant>,
    replaced: Vec<Instant>,
    held_until: Option<Instant>,
}

/// One node's part.
#[derive(Debug)]
pub struct MemoryLease {
    town: MemoryTown,
    name: Arc<str>,
    returns: tokio::sync::Mutex<watch::Receiver<u64>>,
}

impl MemoryTown {
    /// One more node.
    pub fn node(&self) -> MemoryLease {
        let number = self.next.fetch_add(1, Relaxed);
        self.nodes.fetch_add(1, Relaxed);
        let mut returns = self.returns.subscribe();
        returns.mark_changed();
        MemoryLease {
            town: self.clone(),
            name: Arc::from(format!("{:016x}-{number}", rand::random::<u64>())),
            returns: tokio::sync::Mutex::new(returns),
        }
    }

    /// All is lost, as when a store starts anew.
    pub fn forgets_all(&self) {
        *self.held.lock() = Held::default();
        self.returns.send_modify(|returns| *returns += 1);
    }

    /// Doesn't answer from now on, or answers again.
    pub fn is_away(&self, is_away: bool) {
        self.held.lock().is_away = is_away;
        if !is_away {
            self.returns.send_modify(|returns| *returns += 1);
        }
    }
}

impl Default for MemoryLease {
    fn default() -> Self {
        MemoryTown::default().node()
    }
}

impl Drop for MemoryLease {
    fn drop(&mut self) {
        self.town.nodes.fetch_sub(1, Relaxed);
    }
}

impl MemoryLease {
    fn ask<'a, T: Send + 'a>(
        &'a self,
        what: impl FnOnce(&mut Held, Instant) -> T + Send + 'a,
    ) -> Leased<'a, T> {
        Box::pin(async move {
            let mut held = self.town.held.lock();
            match held.is_away {
                true => Err(Away),
                false => Ok(what(&mut held, Instant::now())),
            }
        })
    }

    fn put(&self, what: impl FnOnce(&mut Held)) {
        let mut held = self.town.held.lock();
        if !held.is_away {
            what(&mut held);
        }
    }
}

fn micros_since_1970() -> u64 {
    u64::try_from(chrono::Utc::now().timestamp_micros()).unwrap_or_default()
}

impl Held {
    /// How long until a window has room, where it has none.
    fn wait(&mut self, rule: &Rule, key: &str, now: Instant) -> Option<Duration> {
        let taken = self.windows.get_mut(&(rule.name, key.to_owned()))?;
        taken.retain(|(at, ..)| now.duration_since(*at) < rule.period);
        let limit = rule.limit as usize;
        let oldest = taken.len().checked_sub(limit).and_then(|at| taken.get(at));
        oldest.map(|(at, ..)| rule.period - now.duration_since(*at))
    }

    fn living(&self, now: Instant) -> impl Iterator<Item = &Arc<str>> {
        let lives = move |at: &Instant| now.duration_since(*at) < NODE_SILENT_AFTER;
        self.beats
            .iter()
            .filter(move |(_, at)| lives(at))
            .map(|(node, _)| node)
    }
}

impl Lease for MemoryLease {
    fn node(&self) -> &Arc<str> {
        &self.name
    }

    fn is_shared(&self) -> bool {
        self.town.nodes.load(Relaxed) > 1
    }

    fn returned(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async {
            // The town lives as long as its nodes.
            let _ = self.returns.lock().await.changed().await;
        })
    }

    fn take<'a>(
        &'a self,
        rule: &'a Rule,
        places: &'a [Place],
    ) -> Leased<'a, Vec<Option<Duration>>> {
        self.ask(move |held, now| {
            let taken = places.iter().map(|place| {
                let wait = held.wait(rule, &place.key, now);
                if wait.is_none() {
                    let window = held.windows.entry((rule.name, place.key.clone()));
                    let place = (now, self.name.clone(), place.number);
                    window.or_default().push_back(place);
                }
                wait
            });
            taken.collect()
        })
    }

    fn look<'a>(&'a self, rule: &'a Rule, keys: &'a [String]) -> Leased<'a, Vec<Option<Duration>>> {
        self.ask(move |held, now| keys.iter().map(|key| held.wait(rule, key, now)).collect())
    }

    fn give_back(&self, rule: &Rule, place: Place) {
        self.put(|held| {
            if let Some(taken) = held.windows.get_mut(&(rule.name, place.key)) {
                taken.retain(|(_, node, number)| *number != place.number || node != &self.name);
            }
        });
    }

    fn recall<'a>(&'a self, rule: &'a Rule, places: &'a [(Place, Duration)]) -> Leased<'a, ()> {
        self.ask(move |held, now| {
            for (place, ago) in places {
                let window = held.windows.entry((rule.name, place.key.clone()));
                let taken = window.or_default();
                let is_known = taken
                    .iter()
                    .any(|(_, node, number)| *number == place.number && node == &self.name);
                if let Some(at) = now.checked_sub(*ago).filter(|_| !is_known) {
                    let after = taken.partition_point(|(other, ..)| *other <= at);
                    taken.insert(after, (at, self.name.clone(), place.number));
                }
            }
        })
    }

    fn claim<'a>(&'a self, claim: &'a Claim) -> Leased<'a, Grant> {
        self.ask(move |held, now| {
            let owner = held.owners.entry((claim.chat, claim.user)).or_default();
            let answers = owner.number != claim.deserted;
            let was_taken = answers && owner.until.is_some_and(|until| now < until);
            if was_taken {
                if claim.rejects || owner.held_until.is_some_and(|until| now < until) {
                    return Grant::Refused;
                }
                owner
                    .replaced
                    .retain(|at| now.duration_since(*at) < DUEL_SPAN);
                owner.replaced.push(now);
                if owner.replaced.len() >= DUEL_REPLACEMENTS {
                    owner.held_until = Some(now + DUEL_HOLD);
                    owner.replaced.clear();
                }
            }
            owner.number = (owner.number + 1).max(micros_since_1970());
            owner.until = Some(now + OWNER_EXPIRES);
            Grant::Granted {
                number: owner.number,
                was_taken,
            }
        })
    }

    fn renew<'a>(&'a self, owners: &'a [(ChatId, UserId, u64)]) -> Leased<'a, Vec<bool>> {
        self.ask(move |held, now| {
            let renewed = owners.iter().map(|(chat, user, number)| {
                let owner = held.owners.entry((*chat, *user)).or_default();
                let is_owner = owner.number <= *number;
                if is_owner {
                    owner.number = *number;
                    owner.until = Some(now + OWNER_EXPIRES);
                }
                is_owner
            });
            renewed.collect()
        })
    }

    fn disown(&self, chat: ChatId, user: UserId, number: u64) {
        self.put(|held| {
            if let Some(owner) = held.owners.get_mut(&(chat, user))
                && owner.number == number
            {
                owner.until = None;
            }
        });
    }

    fn beat(&self, new: bool) -> Leased<'_, Option<Vec<Arc<str>>>> {
        self.ask(move |held, now| {
            if !new && !held.living(now).any(|node| *node == self.name) {
                return None;
            }
            held.beats.insert(self.name.clone(), now);
            Some(held.living(now).cloned().collect())
        })
    }

    fn resign(&self) -> Leased<'_, ()> {
        self.ask(|held, _| {
            held.beats.remove(&self.name);
            held.online.remove(&self.name);
            for present in held.present.values_mut() {
                present.retain(|(node, _)| node != &self.name);
            }
        })
    }

    fn put_presence<'a>(&'a self, changes: &'a [Presence]) -> Leased<'a, ()> {
        self.ask(move |held, _| {
            for change in changes {
                let present = held.present.entry(change.chat).or_default();
                let somebody = (self.name.clone(), change.user);
                match change.is_here {
                    true => present.insert(somebody),
                    false => present.remove(&somebody),
                };
            }
        })
    }

    fn presence<'a>(&'a self, chats: &'a [ChatId]) -> Leased<'a, Vec<There>> {
        self.ask(move |held, _| {
            let present = |chat| held.present.get(chat).into_iter().flatten().cloned();
            chats.iter().map(|chat| present(chat).collect()).collect()
        })
    }

    fn forget(&self, chat: ChatId, left: Vec<(Arc<str>, UserId)>) {
        self.put(|held| {
            if let Some(present) = held.present.get_mut(&chat) {
                present.retain(|somebody| !left.contains(somebody));
            }
        });
    }

    fn put_online<'a>(&'a self, users: &'a [(UserId, bool)]) -> Leased<'a, ()> {
        self.ask(move |held, _| {
            let online = held.online.entry(self.name.clone()).or_default();
            for (user, is_online) in users {
                match is_online {
                    true => online.insert(*user),
                    false => online.remove(user),
                };
            }
        })
    }

    fn renew_online(&self) -> Leased<'_, bool> {
        self.ask(|held, _| held.online.contains_key(&self.name))
    }

    fn online<'a>(&'a self, users: &'a [UserId]) -> Leased<'a, Vec<bool>> {
        self.ask(move |held, now| {
            let others: Vec<_> = held
                .living(now)
                .filter(|node| **node != self.name)
                .collect();
            let at = |user| {
                let is_at = |node| held.online.get(node).is_some_and(|of| of.contains(user));
                others.iter().any(|node| is_at(*node))
            };
            users.iter().map(at).collect()
        })
    }
}
