//! One connection per user and chat: seed 001 promises it. The newest wins, so that a phone that comes out of a tunnel
//! isn't locked out by its own dead socket; but two tabs that take each other's place don't duel for ever.
//!
//! Over several nodes a place is owned by a number in what they hold in common; while that is away, this node's table alone
//! decides. Whoever finds a higher number than their own has lost the place: told by a note, or found by `keep_owners`.
//!
//! Bounded by: one entry per user and chat with a connection, or whose duel is remembered for a minute.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use entity::{ChatId, UserId};
use parking_lot::Mutex;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{Registry, close, registry::Entry};
use crate::{
    chat::ConnectionId,
    hub::{Close, Hubs, Owner},
    lease::{Claim, Grant, Lease},
};

/// After so many replacements in `DUEL_SPAN` whoever is connected stays.
const DUEL_REPLACEMENTS: usize = 3;
const DUEL_SPAN: Duration = Duration::from_secs(60);
/// Newcomers are turned away for so long, while the connected one still answers.
const DUEL_HOLD: Duration = Duration::from_secs(30);
/// A connection that was silent for longer than a ping and its answer take doesn't answer any more.
const SILENT_AFTER_S: u32 = 30;
/// How often owners are renewed, and learn whether they still are: a lost note costs so long.
const RENEWED_EVERY: Duration = Duration::from_secs(10);
/// Entries without a connection are swept each time the table has grown by so many.
const SWEEP_AFTER: usize = 1024;

/// What becomes of a second connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecondConnection {
    /// It takes the first one's place.
    Replaces,
    /// It is turned away.
    IsRejected,
    /// It stays beside the first one.
    Stays,
}

type Key = (ChatId, UserId);

#[derive(Default)]
struct Seatings {
    current: Option<Arc<Entry>>,
    /// By which the current one owns the place over all nodes; 0 where this node is alone.
    number: u64,
    replaced: Vec<Instant>,
    held_until: Option<Instant>,
}

#[derive(Default)]
struct Table {
    seatings: HashMap<Key, Seatings>,
    sweep_at: usize,
}

/// Who is connected to which chat, where only one connection counts.
pub struct Singles {
    rule: SecondConnection,
    table: Mutex<Table>,
    hubs: Arc<Hubs>,
    lease: Arc<dyn Lease>,
}

/// A connection that counts. Dropped, its place is free.
pub(super) struct Single {
    singles: Arc<Singles>,
    key: Key,
    id: ConnectionId,
    number: u64,
}

impl Singles {
    /// Nobody is connected.
    pub fn new(rule: SecondConnection, hubs: Arc<Hubs>, lease: Arc<dyn Lease>) -> Arc<Singles> {
        let singles = Arc::new(Singles {
            rule,
            table: Mutex::default(),
            hubs,
            lease,
        });
        let hearing = Arc::downgrade(&singles);
        singles.hubs.on_owner(Box::new(move |owner| {
            if let Some(singles) = hearing.upgrade() {
                singles.yield_to(owner);
            }
        }));
        singles
    }

    /// Takes the place of a user in a chat, perhaps from another connection. `now` is the registry's.
    pub(super) async fn claim(
        self: &Arc<Self>,
        chat: ChatId,
        user: UserId,
        entry: &Arc<Entry>,
        now: u32,
    ) -> Result<Option<Single>, Close> {
        if self.rule == SecondConnection::Stays {
            return Ok(None);
        }
        let key = (chat, user);
        let granted = match self.lease.is_shared() {
            true => self.claim_everywhere(key, now).await?,
            false => None,
        };
        // Without an answer the time is the number: later owners have higher ones, as in what nodes hold in common.
        let number = match (granted, self.lease.is_shared()) {
            (Some(number), _) => number,
            (None, true) => micros_since_1970(),
            (None, false) => 0,
        };
        let mut table = self.table.lock();
        if table.seatings.len() >= table.sweep_at {
            table
                .seatings
                .retain(|_, seatings| seatings.current.is_some() || seatings.is_remembered());
            table.sweep_at = table.seatings.len() + SWEEP_AFTER;
        }
        let seatings = table.seatings.entry(key).or_default();
        match granted {
            Some(_) => seatings.give(entry, number)?,
            None => seatings.seat(self.rule, entry, number, now)?,
        }
        drop(table);
        Ok(Some(Single {
            singles: self.clone(),
            key,
            id: entry.id,
            number,
        }))
    }

    /// Takes the place over all nodes: by which number. None where nobody can be asked.
    async fn claim_everywhere(&self, key: Key, now: u32) -> Result<Option<u64>, Close> {
        let (chat, user) = key;
        let (is_ours, deserted) = match self.table.lock().seatings.get(&key) {
            Some(Seatings {
                current: Some(incumbent),
                number,
                ..
            }) => (true, if answers(incumbent, now) { 0 } else { *number }),
            _ => (false, 0),
        };
        let claim = Claim {
            chat,
            user,
            rejects: self.rule == SecondConnection::IsRejected,
            deserted,
        };
        match self.lease.claim(&claim).await {
            Ok(Grant::Granted { number, was_taken }) => {
                if was_taken && !is_ours {
                    self.hubs.tell_owner(Owner { chat, user, number });
                }
                Ok(Some(number))
            }
            Ok(Grant::Refused) => Err(close::REPLACED),
            Err(away) => {
                debug!("{away}: this node's own rule holds");
                Ok(None)
            }
        }
    }

    /// A connection of another node has a place by this number.
    fn yield_to(&self, owner: Owner) {
        let table = self.table.lock();
        if let Some(seatings) = table.seatings.get(&(owner.chat, owner.user))
            && seatings.number < owner.number
            && let Some(current) = &seatings.current
        {
            current.queue.close(close::REPLACED);
        }
    }

    /// Renews what this node's connections own over all nodes, and closes those that own it no more, until `stop`.
    pub async fn keep_owners(self: Arc<Self>, registry: Arc<Registry>, stop: CancellationToken) {
        let mut renewals = tokio::time::interval(RENEWED_EVERY);
        renewals.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = renewals.tick() => {}
                () = stop.cancelled() => return,
            }
            if !self.lease.is_shared() {
                continue;
            }
            // Who doesn't answer isn't renewed: so a dead socket holds its place no longer than a node that died.
            let now = registry.now();
            let owners: Vec<(ChatId, UserId, u64)> = {
                let table = self.table.lock();
                let owners = table.seatings.iter().filter(|(_, seatings)| {
                    let current = seatings.current.as_ref();
                    current.is_some_and(|current| answers(current, now))
                });
                let owners = owners.map(|((chat, user), it)| (*chat, *user, it.number));
                owners.collect()
            };
            let Ok(renewed) = self.lease.renew(&owners).await else {
                continue;
            };
            for ((chat, user, number), is_owner) in owners.into_iter().zip(renewed) {
                if !is_owner {
                    let number = number + 1;
                    self.yield_to(Owner { chat, user, number });
                }
            }
        }
    }
}

/// Whether a connection is open and was heard of of late.
fn answers(entry: &Entry, now: u32) -> bool {
    entry.queue.closing().is_none() && entry.pulse.silence(now) <= SILENT_AFTER_S
}

fn micros_since_1970() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    })
}

impl Seatings {
    fn is_remembered(&self) -> bool {
        self.replaced
            .last()
            .is_some_and(|at| at.elapsed() < DUEL_SPAN)
    }

    /// The place is this connection's, as all nodes know it.
    fn give(&mut self, entry: &Arc<Entry>, number: u64) -> Result<(), Close> {
        if let Some(current) = &self.current {
            if number < self.number {
                // Another one came since.
                return Err(close::REPLACED);
            }
            current.queue.close(close::REPLACED);
        }
        self.current = Some(entry.clone());
        self.number = number;
        Ok(())
    }

    fn seat(
        &mut self,
        rule: SecondConnection,
        entry: &Arc<Entry>,
        number: u64,
        now: u32,
    ) -> Result<(), Close> {
        let incumbent = self
            .current
            .as_ref()
            .filter(|current| current.queue.closing().is_none());
        if let Some(incumbent) = incumbent {
            let answers = answers(incumbent, now);
            let is_held = self.held_until.is_some_and(|until| Instant::now() < until);
            if rule == SecondConnection::IsRejected || (is_held && answers) {
                return Err(close::REPLACED);
            }
            self.replaced.retain(|at| at.elapsed() < DUEL_SPAN);
            self.replaced.push(Instant::now());
            if self.replaced.len() >= DUEL_REPLACEMENTS {
                self.held_until = Some(Instant::now() + DUEL_HOLD);
                self.replaced = Vec::new();
            }
            incumbent.queue.close(close::REPLACED);
        }
        self.current = Some(entry.clone());
        self.number = number;
        Ok(())
    }
}

impl Drop for Single {
    fn drop(&mut self) {
        if self.number > 0 {
            let (chat, user) = self.key;
            self.singles.lease.disown(chat, user, self.number);
        }
        let mut table = self.singles.table.lock();
        let Some(seatings) = table.seatings.get_mut(&self.key) else {
            return;
        };
        if seatings
            .current
            .as_ref()
            .is_some_and(|current| current.id == self.id)
        {
            seatings.current = None;
            let is_dueling = seatings
                .held_until
                .is_some_and(|until| Instant::now() < until);
            if !is_dueling && !seatings.is_remembered() {
                table.seatings.remove(&self.key);
            }
        }
    }
}
