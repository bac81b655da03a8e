//! Following the chats with the search index, beside the writer and never in its transaction.
//!
//! Relies on: whatever took a number of a chat is told by this node's writer after the commit; what other nodes didn't
//! live to index, and what was there before, is found by looking at all chats, at the start and every `LOOK_EVERY`.
//! Bounded by: `CHATS_AT_ONCE` and `NUMBERS_AT_ONCE` a transaction, a twentieth of the time while the writer writes,
//! `TOLD_MAX` chats.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use entity::ChatId;
use parking_lot::Mutex;
use tokio::{sync::Notify, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    chat::{ChatEvent, Publish, tidying::Deleted},
    store::{Store, Stored},
};

/// Chats of one transaction, and numbers of all of them.
const CHATS_AT_ONCE: usize = 100;
const NUMBERS_AT_ONCE: u64 = 1000;
/// What comes within this time is indexed together.
const GATHERED_FOR: Duration = Duration::from_millis(300);
/// A transaction is followed by so many times its own duration in which the writer has the database alone, as long as it
/// writes.
const RESTS: u32 = 19;
const REST_AT_MOST: Duration = Duration::from_millis(1500);
/// A writer that wrote nothing for so long doesn't need it.
const QUIET: Duration = Duration::from_millis(50);
/// So many transactions are about chats in which something happened just now; the next is about those that are further
/// behind, or finds some.
const FRESH_FIRST: u32 = 4;
/// How often all chats are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Chats that one such look gives at once.
const LOOKED_AT_ONCE: u64 = 1000;
/// Chats that are remembered; beyond, all are looked at.
const TOLD_MAX: usize = 100_000;
/// How long a failure is waited out; doubled up to `RETRY_AT_MOST`.
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_AT_MOST: Duration = Duration::from_secs(10);
/// How long a stop waits for a transaction.
const ENDS_WITHIN: Duration = Duration::from_secs(2);

/// Chats in which something happened.
#[derive(Default)]
pub(crate) struct Told {
    chats: Mutex<HashSet<ChatId>>,
    arrived: Notify,
}

impl Told {
    fn tell(&self, events: &[Arc<ChatEvent>]) {
        let mut chats = self.chats.lock();
        let mut last = None;
        for event in events.iter().filter(|event| event.seq.is_some()) {
            // A batch has many of one chat, one after another.
            if last != Some(event.chat) && chats.len() < TOLD_MAX {
                chats.insert(event.chat);
            }
            last = Some(event.chat);
        }
        let is_told = last.is_some();
        drop(chats);
        if is_told {
            self.arrived.notify_one();
        }
    }

    /// The chats, and whether some may be missing.
    fn take(&self) -> (HashSet<ChatId>, bool) {
        let chats = std::mem::take(&mut *self.chats.lock());
        let is_full = chats.len() >= TOLD_MAX;
        (chats, is_full)
    }
}

/// The writer's events on their way to the hubs, with a word to those who follow them here.
pub(crate) struct Telling {
    pub(crate) told: Arc<Told>,
    pub(crate) deleted: Arc<Deleted>,
    pub(crate) hubs: Arc<dyn Publish>,
}

impl Publish for Telling {
    fn publish(&self, events: Vec<Arc<ChatEvent>>) {
        self.told.tell(&events);
        self.deleted.tell(&events);
        self.hubs.publish(events);
    }
}

/// The task that follows.
pub(crate) struct Indexer {
    stop: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Indexer {
    pub(crate) fn start(store: Store, told: Arc<Told>) -> Indexer {
        let stop = CancellationToken::new();
        let following = Following {
            store,
            told,
            fresh: BTreeSet::new(),
            backlog: BTreeSet::new(),
            look_from: Some(ChatId(0)),
            look_next: Instant::now(),
            steps: 0,
        };
        let task = tokio::spawn(following.run(stop.clone()));
        Indexer {
            stop,
            task: Mutex::new(Some(task)),
        }
    }

    /// Ends, after the transaction that is under way. One that takes long is rolled back, and done by the next start.
    pub(crate) async fn stop(&self) {
        self.stop.cancel();
        let Some(mut task) = self.task.lock().take() else {
            return;
        };
        match tokio::time::timeout(ENDS_WITHIN, &mut task).await {
            Ok(Ok(())) => {}
            Ok(Err(failed)) => error!("search: the index's task ended badly: {failed}"),
            Err(_) => task.abort(),
        }
    }
}

struct Following {
    store: Store,
    told: Arc<Told>,
    /// Chats in which something happened just now.
    fresh: BTreeSet<ChatId>,
    /// Chats that are further behind.
    backlog: BTreeSet<ChatId>,
    /// Where the look at all chats stands; none between two looks.
    look_from: Option<ChatId>,
    look_next: Instant,
    steps: u32,
}

impl Following {
    async fn run(mut self, stop: CancellationToken) {
        let mut wait = RETRY_FIRST;
        while !stop.is_cancelled() {
            let began = Instant::now();
            let rest = match self.step().await {
                Ok(true) => {
                    wait = RETRY_FIRST;
                    let rest = (began.elapsed() * RESTS).clamp(GATHERED_FOR, REST_AT_MOST);
                    stop.run_until_cancelled(self.rest(rest)).await;
                    continue;
                }
                Ok(false) => {
                    stop.run_until_cancelled(self.wait()).await;
                    continue;
                }
                Err(error) => {
                    warn!("search: the index can't follow, next try in {wait:?}: {error}");
                    let rest = wait;
                    wait = (wait * 2).min(RETRY_AT_MOST);
                    rest
                }
            };
            stop.run_until_cancelled(tokio::time::sleep(rest)).await;
        }
    }

    /// Does the next piece; false where there is none.
    async fn step(&mut self) -> Stored<bool> {
        let (told, are_missing) = self.told.take();
        self.fresh.extend(told);
        if are_missing || self.look_next <= Instant::now() {
            self.look_from.get_or_insert(ChatId(0));
            self.look_next = Instant::now() + LOOK_EVERY;
        }
        let is_behind = !self.backlog.is_empty() || self.look_from.is_some();
        let is_others_turn = is_behind && self.steps.is_multiple_of(FRESH_FIRST);
        let is_fresh = !self.fresh.is_empty() && !is_others_turn;
        self.steps = self.steps.wrapping_add(1);
        if !is_fresh && self.backlog.is_empty() {
            return self.look().await;
        }
        let from = if is_fresh { &self.fresh } else { &self.backlog };
        let chats: Vec<ChatId> = from.iter().copied().take(CHATS_AT_ONCE).collect();
        let numbers = NUMBERS_AT_ONCE / chats.len() as u64;
        let more = self.store.index(&chats, numbers).await?;
        for chat in &chats {
            self.fresh.remove(chat);
            self.backlog.remove(chat);
        }
        self.backlog.extend(more);
        Ok(true)
    }

    /// Looks at the next of all chats.
    async fn look(&mut self) -> Stored<bool> {
        let Some(from) = self.look_from else {
            return Ok(false);
        };
        let behind = self.store.chats_behind(from, LOOKED_AT_ONCE).await?;
        if !behind.is_empty() {
            info!(
                chats = behind.len(),
                "search: {} chats are behind in the index",
                behind.len()
            );
        }
        let is_last = (behind.len() as u64) < LOOKED_AT_ONCE;
        self.look_from = behind.last().copied().filter(|_| !is_last);
        self.backlog.extend(behind);
        Ok(true)
    }

    /// Leaves the database to the writer for so long, or until that has nothing to write.
    async fn rest(&self, at_most: Duration) {
        let until = Instant::now() + at_most;
        while Instant::now() < until {
            let pause = QUIET.min(until.saturating_duration_since(Instant::now()));
            let arrives = self.told.arrived.notified();
            if tokio::time::timeout(pause, arrives).await.is_err() {
                return;
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Waits for something to do, and a moment more for what comes with it.
    async fn wait(&self) {
        let _ = tokio::time::timeout_at(self.look_next.into(), self.told.arrived.notified()).await;
        tokio::time::sleep(GATHERED_FOR).await;
    }
}
