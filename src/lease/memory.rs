//! What nodes of one process hold in common. A node that is alone in its town is asked nothing.
//!
//! Bounded by: windows hold no more than their limit a key; owners and people as many as there are. What has run out is
//! dropped when the same key is asked again, and a town lives no longer than its process.

use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
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
    Away, Claim, Grant, Lease, Leased, NODE_SILENT_AFTER, OWNER_EXPIRES, PRESENCE_KEPT, Place,
    Presence, Rule, There,
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
    present: HashMap<ChatId, Present>,
    online: HashMap<Arc<str>, Online>,
    mood: Mood,
    /// How far its clock is ahead of the machine's.
    ahead: Duration,
}

/// How it does what it is asked.
#[derive(Clone, Copy, Debug, Default)]
enum Mood {
    #[default]
    Answers,
    IsAway,
    /// So much later, when nobody waits for the answer any more.
    IsLate(Duration),
}

#[derive(Debug, Default)]
struct Owner {
    number: u64,
    by: Option<Arc<str>>,
    until: Option<Instant>,
    replaced: Vec<Instant>,
    held_until: Option<Instant>,
}

#[derive(Debug)]
struct Present {
    there: BTreeSet<(Arc<str>, UserId)>,
    until: Instant,
}

#[derive(Debug)]
struct Online {
    users: HashSet<UserId>,
    is_complete: bool,
    until: Instant,
}

/// One node's part.
#[derive(Debug)]
pub struct MemoryLease {
    town: MemoryTown,
    name: Arc<str>,
}

impl MemoryTown {
    /// One more node.
    pub fn node(&self) -> MemoryLease {
        let number = self.next.fetch_add(1, Relaxed);
        self.nodes.fetch_add(1, Relaxed);
        MemoryLease {
            town: self.clone(),
            name: Arc::from(format!("{:016x}-{number}", rand::random::<u64>())),
        }
    }

    /// All is lost, as when a store starts anew.
    pub fn forgets_all(&self) {
        let mut held = self.held.lock();
        *held = Held {
            ahead: held.ahead,
            ..Held::default()
        };
        drop(held);
        self.returns.send_modify(|returns| *returns += 1);
    }

    /// Doesn't answer from now on, or answers again.
    pub fn is_away(&self, is_away: bool) {
        self.stalls(is_away);
        if !is_away {
            self.returns.send_modify(|returns| *returns += 1);
        }
    }

    /// The same without anybody being told: no connection has ended.
    pub fn stalls(&self, stalls: bool) {
        self.held.lock().mood = match stalls {
            true => Mood::IsAway,
            false => Mood::Answers,
        };
    }

    /// Does what it is asked so much later, and answers when nobody waits for it any more; until it no longer `stalls`.
    pub fn is_late(&self, by: Duration) {
        self.held.lock().mood = Mood::IsLate(by);
    }

    /// Time goes by.
    pub fn passes(&self, time: Duration) {
        self.held.lock().ahead += time;
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
            let now = held.now();
            match held.mood {
                Mood::Answers => Ok(what(&mut held, now)),
                Mood::IsAway => Err(Away),
                Mood::IsLate(by) => {
                    what(&mut held, now + by);
                    Err(Away)
                }
            }
        })
    }

    fn put(&self, what: impl FnOnce(&mut Held)) {
        let mut held = self.town.held.lock();
        if !matches!(held.mood, Mood::IsAway) {
            what(&mut held);
        }
    }
}

/// What the clock shows at some time soon.
fn micros_since_1970(at: Instant) -> u64 {
    let ahead = at.saturating_duration_since(Instant::now());
    let micros = (chrono::Utc::now() + ahead).timestamp_micros();
    u64::try_from(micros).unwrap_or_default()
}

impl Held {
    fn now(&self) -> Instant {
        Instant::now() + self.ahead
    }

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

    fn present(&self, chat: ChatId, now: Instant) -> Option<&Present> {
        let present = self.present.get(&chat);
        present.filter(|present| now < present.until)
    }

    fn online(&self, node: &Arc<str>, now: Instant) -> Option<&Online> {
        let online = self.online.get(node);
        online.filter(|online| now < online.until)
    }

    /// What is put of a node from now on; nothing is left of what has run out.
    fn online_anew(&mut self, node: &Arc<str>, now: Instant) -> &mut Online {
        if self.online(node, now).is_none() {
            self.online.remove(node);
        }
        let online = self.online.entry(node.clone());
        online.or_insert_with(|| Online {
            users: HashSet::new(),
            is_complete: false,
            until: now + NODE_SILENT_AFTER,
        })
    }
}

impl Lease for MemoryLease {
    fn node(&self) -> &Arc<str> {
        &self.name
    }

    fn is_shared(&self) -> bool {
        self.town.nodes.load(Relaxed) > 1
    }

    fn returned(&self) -> watch::Receiver<u64> {
        let mut returns = self.town.returns.subscribe();
        returns.mark_changed();
        returns
    }

    fn clock(&self) -> u64 {
        micros_since_1970(self.town.held.lock().now())
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
            let last = owner.number.max(claim.above);
            owner.number = (last + 1).max(micros_since_1970(now));
            owner.by = Some(self.name.clone());
            owner.until = Some(now + OWNER_EXPIRES);
            Grant::Granted {
                number: owner.number,
                was_taken,
            }
        })
    }

    fn renew<'a>(&'a self, owners: &'a [(ChatId, UserId, u64)]) -> Leased<'a, Vec<Option<u64>>> {
        self.ask(move |held, now| {
            let renewed = owners.iter().map(|(chat, user, number)| {
                let owner = held.owners.entry((*chat, *user)).or_default();
                if owner.number <= *number {
                    owner.number = *number;
                } else if owner.until.is_none() {
                    owner.number = (owner.number + 1).max(micros_since_1970(now));
                } else if owner.by.as_ref() != Some(&self.name) {
                    return None;
                }
                owner.by = Some(self.name.clone());
                owner.until = Some(now + OWNER_EXPIRES);
                Some(owner.number)
            });
            renewed.collect()
        })
    }

    fn disown(&self, chat: ChatId, user: UserId, number: Option<u64>) {
        self.put(|held| {
            let Some(owner) = held.owners.get_mut(&(chat, user)) else {
                return;
            };
            let is_given_up = match number {
                Some(number) => owner.number == number,
                None => owner.by.as_ref() == Some(&self.name),
            };
            if is_given_up {
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
                present.there.retain(|(node, _)| node != &self.name);
            }
        })
    }

    fn put_presence<'a>(&'a self, changes: &'a [Presence]) -> Leased<'a, ()> {
        self.ask(move |held, now| {
            let until = now + PRESENCE_KEPT;
            for change in changes {
                if held.present(change.chat, now).is_none() {
                    held.present.remove(&change.chat);
                }
                let present = held.present.entry(change.chat);
                let present = present.or_insert_with(|| Present {
                    there: BTreeSet::new(),
                    until,
                });
                let somebody = (self.name.clone(), change.user);
                if change.is_here {
                    present.there.insert(somebody);
                    present.until = until;
                } else {
                    present.there.remove(&somebody);
                }
            }
        })
    }

    fn presence<'a>(&'a self, chats: &'a [ChatId]) -> Leased<'a, Vec<There>> {
        self.ask(move |held, now| {
            let there = |chat: &ChatId| match held.present(*chat, now) {
                Some(present) => present.there.iter().cloned().collect(),
                None => Vec::new(),
            };
            chats.iter().map(there).collect()
        })
    }

    fn forget(&self, chat: ChatId, left: Vec<(Arc<str>, UserId)>) {
        self.put(|held| {
            if let Some(present) = held.present.get_mut(&chat) {
                present.there.retain(|somebody| !left.contains(somebody));
            }
        });
    }

    fn put_online<'a>(&'a self, users: &'a [(UserId, bool)]) -> Leased<'a, ()> {
        self.ask(move |held, now| {
            let online = held.online_anew(&self.name, now);
            for (user, is_online) in users {
                if *is_online {
                    online.users.insert(*user);
                    online.until = now + NODE_SILENT_AFTER;
                } else {
                    online.users.remove(user);
                }
            }
        })
    }

    fn put_online_anew<'a>(&'a self, users: &'a [UserId]) -> Leased<'a, ()> {
        self.ask(move |held, now| {
            held.online.remove(&self.name);
            held.online_anew(&self.name, now).users.extend(users);
        })
    }

    fn complete_online(&self) -> Leased<'_, ()> {
        self.ask(|held, now| {
            let online = held.online_anew(&self.name, now);
            online.is_complete = true;
            online.until = now + NODE_SILENT_AFTER;
        })
    }

    fn renew_online(&self) -> Leased<'_, bool> {
        self.ask(|held, now| {
            let online = held.online_anew(&self.name, now);
            online.until = now + NODE_SILENT_AFTER;
            online.is_complete
        })
    }

    fn online<'a>(&'a self, users: &'a [UserId]) -> Leased<'a, Vec<bool>> {
        self.ask(move |held, now| {
            let others: Vec<_> = held
                .living(now)
                .filter(|node| **node != self.name)
                .collect();
            let at = |user| {
                let is_at = |node| {
                    let online = held.online(node, now);
                    online.is_some_and(|online| online.users.contains(user))
                };
                others.iter().any(|node| is_at(*node))
            };
            users.iter().map(at).collect()
        })
    }
}
