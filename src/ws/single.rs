//! One connection per user and chat: seed 001 promises it. The newest wins, so that a phone that comes out of a tunnel
//! isn't locked out by its own dead socket; but two tabs that take each other's place don't duel for ever.
//!
//! Bounded by: one entry per user and chat with a connection, or whose duel is remembered for a minute.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use entity::{ChatId, UserId};
use parking_lot::Mutex;

use super::{close, registry::Entry};
use crate::{chat::ConnectionId, hub::Close};

/// After so many replacements in `DUEL_SPAN` whoever is connected stays.
const DUEL_REPLACEMENTS: usize = 3;
const DUEL_SPAN: Duration = Duration::from_secs(60);
/// Newcomers are turned away for so long, while the connected one still answers.
const DUEL_HOLD: Duration = Duration::from_secs(30);
/// A connection that was silent for longer than a ping and its answer take doesn't answer any more.
const SILENT_AFTER_S: u32 = 30;
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
}

/// A connection that counts. Dropped, its place is free.
pub(super) struct Single {
    singles: Arc<Singles>,
    key: Key,
    id: ConnectionId,
}

impl Singles {
    /// Nobody is connected.
    pub fn new(rule: SecondConnection) -> Arc<Singles> {
        Arc::new(Singles {
            rule,
            table: Mutex::default(),
        })
    }

    /// Takes the place of a user in a chat, perhaps from another connection. `now` is the registry's.
    pub(super) fn claim(
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
        let mut table = self.table.lock();
        if table.seatings.len() >= table.sweep_at {
            table
                .seatings
                .retain(|_, seatings| seatings.current.is_some() || seatings.is_remembered());
            table.sweep_at = table.seatings.len() + SWEEP_AFTER;
        }
        let seatings = table.seatings.entry(key).or_default();
        seatings.seat(self.rule, entry, now)?;
        drop(table);
        Ok(Some(Single {
            singles: self.clone(),
            key,
            id: entry.id,
        }))
    }
}

impl Seatings {
    fn is_remembered(&self) -> bool {
        self.replaced
            .last()
            .is_some_and(|at| at.elapsed() < DUEL_SPAN)
    }

    fn seat(&mut self, rule: SecondConnection, entry: &Arc<Entry>, now: u32) -> Result<(), Close> {
        let incumbent = self
            .current
            .as_ref()
            .filter(|current| current.queue.closing().is_none());
        if let Some(incumbent) = incumbent {
            let answers = incumbent.pulse.silence(now) <= SILENT_AFTER_S;
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
        Ok(())
    }
}

impl Drop for Single {
    fn drop(&mut self) {
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
